// Decodes an image file to the pixels that the model was trained on: the same steps, in the same order and with the
// same rounding as `Decoding` in engine/decoding.py, which uses Pillow. An image here is {width, height, planes}, with
// one Uint8Array of width * height values for each channel.
"use strict";

const PRECISION_BITS = 22; // of the fixed-point weights in Pillow's Resample.c: 32, less 8 for a pixel, less 2 spare
const UNREADABLE = "This file cannot be read: it is not an image, it is damaged, or this browser does not know its format.";

/** Pixels of a file for the model: Uint8Array (C, S, S). Throws an Error with a sentence for the reader. */
async function decode(file, {image_size: size, num_channels: numChannels, fit}) {
  let image = await readPixels(file);
  if (await isJpeg(file)) image = reduce(image, draftFactor(image, size));
  if (numChannels === 1) image = toGrey(image);
  const {planes} = FITS[fit](image, size);
  const pixels = new Uint8Array(numChannels * size * size);
  planes.forEach((plane, channel) => pixels.set(plane, channel * size * size));
  return pixels;
}

/** RGB pixels as they are stored in the file, without colour management, upright, and on white where transparent. */
async function readPixels(file) {
  const options = {imageOrientation: "from-image", premultiplyAlpha: "none", colorSpaceConversion: "none"};
  const bitmap = await createImageBitmap(file, options).catch(() => { throw new Error(UNREADABLE); });
  const {width, height} = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const {data} = context.getImageData(0, 0, width, height); // red, green, blue, alpha of each pixel
  if (data[3] !== 255) throw new Error(`This image is too large for this browser: ${width} x ${height} pixels.`);
  const planes = [0, 1, 2].map((channel) => {
    const plane = new Uint8Array(width * height);
    for (let i = 0, j = channel; i < plane.length; i++, j += 4) plane[i] = data[j];
    return plane;
  });
  return {width, height, planes};
}

async function isJpeg(file) {
  const start = new Uint8Array(await file.slice(0, 3).arrayBuffer());
  return start[0] === 0xff && start[1] === 0xd8 && start[2] === 0xff;
}

/**
 * The power of two by which Pillow's draft mode reduces a JPEG that is large enough. Its decoder (libjpeg-turbo) then
 * computes the averages of blocks of 2 x 2, 4 x 4 or 8 x 8 pixels, which `reduce` computes here after decoding.
 */
function draftFactor({width, height}, size) {
  const ratio = Math.floor(Math.min(width, height) / (2 * size));
  return [8, 4, 2].find((factor) => ratio >= factor) ?? 1;
}

/** The average of each block of factor x factor pixels; blocks at the right and lower edge repeat the last pixel. */
function reduce(image, factor) {
  if (factor === 1) return image;
  const width = Math.ceil(image.width / factor), height = Math.ceil(image.height / factor), area = factor ** 2;
  const planes = image.planes.map((plane) => {
    const reduced = new Uint8Array(width * height);
    const sums = new Uint16Array(width); // at most 64 * 255
    for (let y = 0; y < height; y++) {
      sums.fill(area / 2); // rounds to the nearest
      for (let n = 0; n < factor; n++) {
        const row = Math.min(y * factor + n, image.height - 1) * image.width;
        for (let x = 0; x < image.width; x++) sums[(x / factor) | 0] += plane[row + x];
        sums[width - 1] += (width * factor - image.width) * plane[row + image.width - 1];
      }
      for (let x = 0; x < width; x++) reduced[y * width + x] = (sums[x] / area) | 0;
    }
    return reduced;
  });
  return {width, height, planes};
}

/** Luma of ITU-R 601 in fixed point, as in Pillow's conversion from RGB to L. */
function toGrey({width, height, planes: [red, green, blue]}) {
  const luma = new Uint8Array(width * height);
  for (let i = 0; i < luma.length; i++) {
    luma[i] = (red[i] * 19595 + green[i] * 38470 + blue[i] * 7471 + 0x8000) >> 16;
  }
  return {width, height, planes: [luma]};
}

/** How an image is made square, as Pillow's ImageOps.fit, ImageOps.pad and resize do it. */
const FITS = {
  crop(image, size) {
    const side = Math.min(image.width, image.height);
    const left = (image.width - side) * 0.5, top = (image.height - side) * 0.5;
    return resize(image, size, size, [left, top, left + side, top + side]);
  },
  pad(image, size) {
    const ratio = image.width / image.height;
    const width = ratio < 1 ? roundHalfToEven(ratio * size) : size;
    const height = ratio > 1 ? roundHalfToEven((image.height / image.width) * size) : size;
    if (width === 0 || height === 0) throw new Error("This image is too narrow for the model.");
    const left = roundHalfToEven((size - width) * 0.5), top = roundHalfToEven((size - height) * 0.5);
    const planes = resize(image, width, height).planes.map((plane) => {
      const square = new Uint8Array(size * size); // black
      for (let y = 0; y < height; y++) {
        square.set(plane.subarray(y * width, (y + 1) * width), (top + y) * size + left);
      }
      return square;
    });
    return {width: size, height: size, planes};
  },
  squash: (image, size) => resize(image, size, size),
};

/** Python's round(). */
function roundHalfToEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Pillow's bilinear resize with antialiasing of the part [left, top, right, bottom] of an image: a horizontal pass, then
 * a vertical one, each rounded to 8 bits.
 */
function resize(image, width, height, [left, top, right, bottom] = [0, 0, image.width, image.height]) {
  const columns = bilinearWeights(image.width, left, right, width);
  const rows = bilinearWeights(image.height, top, bottom, height);
  const planes = image.planes.map((plane) => {
    const narrow = new Uint8Array(width * image.height);
    resizeLines(plane, narrow, columns, {numLines: image.height, nextLine: [image.width, width], nextPixel: [1, 1]});
    const resized = new Uint8Array(width * height);
    resizeLines(narrow, resized, rows, {numLines: width, nextLine: [1, 1], nextPixel: [width, width]});
    return resized;
  });
  return {width, height, planes};
}

/** For each of outSize pixels, which cover the pixels from start to end: its first input pixel, and the weights. */
function bilinearWeights(inSize, start, end, outSize) {
  start = Math.fround(start); // Pillow's box has 32-bit floats
  const scale = Math.fround(Math.fround(end) - start) / outSize;
  const support = Math.max(scale, 1); // wider than a pixel of the output only when reducing: this is the antialiasing
  const inverse = 1 / support;
  return Array.from({length: outSize}, (_, i) => {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const last = Math.min(Math.trunc(centre + support + 0.5), inSize);
    const weights = [];
    for (let x = first; x < last; x++) weights.push(Math.max(1 - Math.abs((x - centre + 0.5) * inverse), 0));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return {first, weights: Int32Array.from(weights, (w) => Math.trunc((w / total) * 2 ** PRECISION_BITS + 0.5))};
  });
}

/** One pass over rows or columns; `nextLine` and `nextPixel` are steps in the input and in the output. */
function resizeLines(input, output, pixels, {numLines, nextLine, nextPixel}) {
  const [inLine, outLine] = nextLine, [inPixel, outPixel] = nextPixel;
  for (let line = 0; line < numLines; line++) {
    let to = line * outLine;
    for (const {first, weights} of pixels) {
      let from = line * inLine + first * inPixel;
      let sum = 1 << (PRECISION_BITS - 1); // rounds to the nearest
      for (let n = 0; n < weights.length; n++, from += inPixel) sum += input[from] * weights[n];
      output[to] = sum >> PRECISION_BITS;
      to += outPixel;
    }
  }
}
