"""The attacks that `honk doctor` tries on people's machines: as the user of these tests, as one without rights, and
without a sandbox, where they must get what they are after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from honk.workspace import Sandbox
from honk.workspace.attacks import HARMLESS, Attack, Outcome, attack_here, outcomes, planted

from .conftest import own_homes


@pytest.fixture(scope="module")
def here(can_sandbox: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    with own_homes(tmp_path_factory.mktemp("here")) as settings:
        return {one.attack.name: one for one in attack_here(settings)}


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """The same without a sandbox, of those that may be tried there."""
    folder = tmp_path_factory.mktemp("outside")
    for name in ("tree", "own"):
        (folder / name).mkdir()
    with own_homes(folder) as settings, planted(settings.home) as bait:
        open_to_all = Sandbox(settings, folder / "tree", folder / "own", unsafe=True)
        tried = [attack for attack in HARMLESS if attack.works_outside]
        return {one.attack.name: one for one in outcomes(open_to_all, bait, tried)}


def _must_hold(attack: Attack, held: object, told: object, skipped: object) -> None:
    if skipped:
        pytest.skip(f"not promised here: {told}")
    assert held, f"{attack.promise} is broken: {told}"


@pytest.mark.parametrize("attack", HARMLESS, ids=lambda attack: attack.name)
def test_it_is_held_off(here: dict[str, Outcome], attack: Attack) -> None:
    one = here[attack.name]
    _must_hold(attack, one.held, one.told, one.skipped)


@pytest.mark.parametrize("attack", HARMLESS, ids=lambda attack: attack.name)
def test_it_is_held_off_where_honk_is_an_ordinary_user(
    as_an_ordinary_user: dict[str, dict[str, object]], attack: Attack
) -> None:
    one = as_an_ordinary_user[attack.name]
    _must_hold(attack, one["held"], one["told"], one["skipped"])


@pytest.mark.parametrize("attack", [one for one in HARMLESS if one.works_outside], ids=lambda attack: attack.name)
def test_it_works_without_a_sandbox(outside: dict[str, Outcome], attack: Attack) -> None:
    one = outside[attack.name]
    assert one.told.startswith("got "), one.told


def test_an_attack_that_is_broken_is_no_success_of_the_sandbox(can_sandbox: None, tmp_path: Path) -> None:
    broken = replace(HARMLESS[0], name="broken", script="no_such_name", must="be refused")
    ends = replace(broken, name="came to its end", script="pass")
    refused = replace(broken, name="refused", script="raise OSError(1, 'no')", must="find nothing")
    with own_homes(tmp_path) as settings:
        results = list(attack_here(settings, [broken, ends, refused]))
    assert [(one.held, one.told) for one in results] == [
        (False, "broken: NameError: name 'no_such_name' is not defined"),
        (False, "nothing: found nothing"),
        (False, "refused: no"),
    ]
