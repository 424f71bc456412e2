"""`honk.toml` is changed in place, and nothing of a person's is lost."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from honk.model import UsageError
from honk.setup.settings_file import with_values, write_settings

MINE = """\
# Mine, and to stay.
max_cost_usd = 3.0   # enough

slack_bot_token = "xoxb-old"   # of the test workspace
egress = [
    "a.example",  # slack_app_token = "not this one"
]
github_private_key = \'\'\'
-----BEGIN
slack_app_token = "nor this"
-----END
\'\'\'

[later]
slack_app_token = "of another table"
"""


def test_comments_order_and_other_settings_stay(tmp_path: Path) -> None:
    (tmp_path / "honk.toml").write_text(MINE)
    path = write_settings(tmp_path, {"slack_bot_token": "xoxb-new", "slack_app_token": "xapp-new"})
    text = path.read_text()
    assert 'slack_bot_token = "xoxb-new"   # of the test workspace\n' in text
    assert tomllib.loads(text) == tomllib.loads(MINE) | {"slack_bot_token": "xoxb-new", "slack_app_token": "xapp-new"}
    assert set(MINE.splitlines()) - set(text.splitlines()) == {'slack_bot_token = "xoxb-old"   # of the test workspace'}


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    values = {"github_private_key": "-----BEGIN\nabc\n-----END\n", "slack_bot_token": "x"}
    (tmp_path / "honk.toml").write_text(MINE)
    first = write_settings(tmp_path, values).read_text()
    assert write_settings(tmp_path, values).read_text() == first


@pytest.mark.parametrize("value", ["plain", 'quote " and \\', "two\nlines", "three ''' in\ntwo", "tab\t", "é 😀", ""])
@pytest.mark.parametrize("before", ["", "a = 1", "a = 1\n", "[t]\nb = 2\n", "# only words", "\n\n", "x = 'old'"])
def test_any_value_is_read_as_it_was_given(before: str, value: str) -> None:
    after = with_values(before, {"x": value})
    assert tomllib.loads(after) == tomllib.loads(before) | {"x": value}


def test_a_file_that_cannot_be_read_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "honk.toml").write_text("this is = not toml =")
    with pytest.raises(UsageError, match="mend it"):
        write_settings(tmp_path, {"slack_bot_token": "x"})
    assert (tmp_path / "honk.toml").read_text() == "this is = not toml ="


def test_a_setting_that_is_written_as_a_quoted_name_is_not_doubled(tmp_path: Path) -> None:
    (tmp_path / "honk.toml").write_text('"slack_bot_token" = "old"\n')
    with pytest.raises(UsageError, match="by hand"):
        write_settings(tmp_path, {"slack_bot_token": "new"})
    assert (tmp_path / "honk.toml").read_text() == '"slack_bot_token" = "old"\n'


def test_the_home_is_made_and_a_link_is_followed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "elsewhere.toml").write_text("a = 1\n")
    (home / "honk.toml").symlink_to(tmp_path / "elsewhere.toml")
    write_settings(home, {"slack_bot_token": "x"})
    assert (home / "honk.toml").is_symlink()
    assert (tmp_path / "elsewhere.toml").read_text() == 'a = 1\nslack_bot_token = "x"\n'
    assert write_settings(tmp_path / "new" / "home", {"slack_bot_token": "x"}).exists()
