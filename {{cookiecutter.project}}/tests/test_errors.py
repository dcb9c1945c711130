from {{cookiecutter.package}}.errors import without_secrets


def test_secrets_of_a_command_line_are_masked() -> None:
    words = ["fit", "--notify.api_key", "hunter2", "--data.root", "photos", "--hub.token=hunter3", "--lr", "1"]
    shown = ["fit", "--notify.api_key", "***", "--data.root", "photos", "--hub.token=***", "--lr", "1"]
    assert without_secrets(words) == shown
    assert words[2] == "hunter2"


def test_secrets_of_a_config_are_masked_at_any_depth() -> None:
    config = {"callbacks": [{"init_args": {"password": "hunter2", "key_metric": "val/acc", "token": None}}], "lr": 0.1}
    shown = {"callbacks": [{"init_args": {"password": "***", "key_metric": "val/acc", "token": None}}], "lr": 0.1}
    assert without_secrets(config) == shown
