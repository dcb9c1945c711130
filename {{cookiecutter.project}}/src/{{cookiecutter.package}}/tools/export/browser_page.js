// The page: takes image files, classifies them one after the other, and shows a card for each.
"use strict";

const NUM_SHOWN = 5; // classes on a card; the others are folded
const description = JSON.parse(document.getElementById("description").textContent);
const classNames = description.class_names;
const abstainBelow = description.abstain_below;
const counts = {all: 0, done: 0};
let session; // of ONNX Runtime, with the model; a promise
let lastImage = Promise.resolve(); // resolved when all images so far are classified

/** The bytes of an embedded file: gzip, then base64. The text is removed, so that it takes no more memory. */
async function unpack(id) {
  const element = document.getElementById(id);
  const text = atob(element.textContent.trim());
  element.remove();
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function loadModel() {
  const url = URL.createObjectURL(new Blob([await unpack("runtime")], {type: "text/javascript"}));
  window.ort = await import(url);
  URL.revokeObjectURL(url);
  ort.env.wasm.numThreads = 1; // more need SharedArrayBuffer, which pages opened as files do not have
  ort.env.wasm.wasmBinary = await unpack("wasm");
  return ort.InferenceSession.create(await unpack("model"), {executionProviders: ["wasm"]});
}

/** The K calibrated probabilities of an image file, in the order of the class names. */
async function classify(file) {
  const model = await session.catch(() => { throw new Error("The model cannot be loaded: see above."); });
  const {image_size: size, num_channels: numChannels} = description.decoding;
  const pixels = await decode(file, description.decoding);
  const images = new ort.Tensor("uint8", pixels, [1, numChannels, size, size]);
  const {probabilities} = await model.run({images}, ["probabilities"]);
  return probabilities.data;
}

/** Adds a card for each file at once, and classifies the files in order. */
function addFiles(files) {
  const cards = Array.from(files, (file) => [file, newCard(file)]);
  document.getElementById("cards").prepend(...cards.map(([, card]) => card));
  counts.all += cards.length;
  showStatus();
  for (const [file, card] of cards) lastImage = lastImage.then(() => fillCard(card, file));
  return lastImage;
}

async function fillCard(card, file) {
  try {
    showPrediction(card, await classify(file));
  } catch (error) {
    card.classList.add("error");
    card.querySelector(".verdict").textContent = "No prediction";
    card.querySelector(".reason").textContent = error.message;
  }
  card.classList.remove("waiting");
  counts.done += 1;
  showStatus();
  await new Promise((resolve) => setTimeout(resolve)); // lets the browser draw the card
}

function newCard(file) {
  const card = document.getElementById("card").content.firstElementChild.cloneNode(true);
  const picture = card.querySelector("img");
  picture.src = URL.createObjectURL(file);
  picture.className = description.decoding.fit;
  picture.addEventListener("error", () => picture.replaceWith(element("div", "none", "no picture")));
  card.querySelector(".file").textContent = card.querySelector(".file").title = file.name;
  card.querySelector(".verdict").textContent = "Waiting";
  return card;
}

function showPrediction(card, probabilities) {
  const ranked = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a] || a - b);
  const best = ranked[0];
  const isUnsure = probabilities[best] < abstainBelow;
  card.classList.add(isUnsure ? "unsure" : "sure");
  card.querySelector(".verdict").textContent = isUnsure ? "Not sure" : classNames[best];
  card.querySelector(".reason").textContent = isUnsure ? `No class reaches ${percent(abstainBelow)}.` : "";
  const bars = ranked.map((label) => newBar(classNames[label], probabilities[label]));
  card.querySelector(".bars").append(...bars.slice(0, NUM_SHOWN));
  if (bars.length > NUM_SHOWN) {
    const more = card.querySelector("details");
    more.hidden = false;
    more.querySelector("summary").textContent = `${bars.length - NUM_SHOWN} more classes`;
    more.querySelector(".bars").append(...bars.slice(NUM_SHOWN));
  }
}

function newBar(name, probability) {
  const row = element("li"), label = element("span", "label"), track = element("span", "track"), bar = element("i");
  label.append(element("span", "name", name), element("span", "percent", percent(probability)));
  bar.style.width = `${100 * probability}%`;
  track.append(bar);
  row.append(label, track);
  return row;
}

/** An element whose content is text, so that a class name or a file name is never taken as HTML. */
function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** 0 % and 100 % only where they are exact. */
function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1\u00a0%";
  if (share < 1 && share > 0.999) return "> 99.9\u00a0%";
  return `${(100 * share).toFixed(1)}\u00a0%`;
}

function showStatus() {
  const {all, done} = counts;
  const images = all === 1 ? "image" : "images";
  const text = done < all ? `${done} of ${all} ${images} classified` : `${all} ${images} classified`;
  document.getElementById("status").textContent = all ? text : "";
  document.getElementById("clear").hidden = all === 0 || done < all;
}

function clearCards() {
  for (const picture of document.querySelectorAll(".card img")) URL.revokeObjectURL(picture.src);
  document.getElementById("cards").replaceChildren();
  counts.all = counts.done = 0;
  showStatus();
}

function listen() {
  const drop = document.getElementById("drop"), chooser = document.getElementById("files");
  chooser.addEventListener("change", () => {
    addFiles(chooser.files);
    chooser.value = ""; // the same file can be chosen again
  });
  document.getElementById("clear").addEventListener("click", clearCards);
  for (const type of ["dragenter", "dragover"]) {
    addEventListener(type, (event) => {
      event.preventDefault(); // else the browser opens the file
      drop.classList.add("over");
    });
  }
  addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    addFiles(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => addFiles(event.clipboardData.files));
}

function start() {
  if (abstainBelow > 0) document.body.style.setProperty("--limit", `${100 * abstainBelow}%`);
  const state = document.getElementById("state");
  session = loadModel();
  session.then(
    () => { document.body.dataset.state = "ready"; state.textContent = "The model is ready."; },
    (error) => {
      document.body.dataset.state = "failed";
      state.textContent =
        "This browser cannot run the model. Use Chrome or Edge 97, Firefox 113, Safari 16.4, or a later version. " +
        `It reported: ${error.message ?? error}`;
    },
  );
  listen();
}

start();
