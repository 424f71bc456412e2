"""Honk's own questions to the model: by the gateway, held to the same rules and the same budget."""

from __future__ import annotations

import pytest

from honk.model import Budget, HonkError, LimitReached, UsageError
from honk.settings import Settings, read_settings
from honk.workspace import asking
from honk.workspace.account import Account
from honk.workspace.asking import model_session
from honk.workspace.event_loop import wait_for
from honk.workspace.prices import cost

from .test_budget import SONNET, USAGE, Model, model

__all__ = ["model"]

ASK = {"max_tokens": 100, "messages": [{"role": "user", "content": "Well?"}]}


@pytest.fixture
def settings(model: Model, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(asking, "_PAUSES", (0.0, 0.0))
    return model.settings()


def test_what_an_answer_cost_is_known_when_it_is_there(settings: Settings, model: Model) -> None:
    with model_session(settings, SONNET, Budget(1.0, 5)) as session:
        for number in (1, 2):
            assert session.ask(ASK)["model"] == SONNET
            assert session.spent.requests == number
            assert session.spent.cost_usd == pytest.approx(number * cost(SONNET, USAGE))


def test_a_budget_that_is_spent_and_a_model_that_is_not_allowed_are_refused_before_anything_is_sent(
    settings: Settings, model: Model
) -> None:
    with model_session(settings, SONNET, Budget(0.001, 5)) as session:
        session.ask(ASK)
        with pytest.raises(LimitReached, match="budget is spent"):
            session.ask(ASK)
    only = settings.model_copy(update={"models": ["claude-opus-*"]})
    with model_session(only, SONNET, Budget(1.0, 5)) as session, pytest.raises(HonkError, match="HONK_MODELS"):
        session.ask(ASK)
    assert len(model.asked) == 1


def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(settings: Settings, model: Model) -> None:
    with model_session(settings, SONNET, Budget(1.0, 5)) as session:
        for status, times in ((529, 3), (401, 1)):
            model.asked.clear()
            model.status = status
            with pytest.raises(HonkError, match=str(status)) as refused:
                session.ask(ASK)
            assert len(model.asked) == times
            assert "sk-real" not in str(refused.value)
        assert session.spent.cost_usd == 0


def test_without_a_model_it_is_said_what_to_set(home: object) -> None:
    with pytest.raises(UsageError, match="ANTHROPIC_API_KEY"), model_session(read_settings(), SONNET, Budget(1.0, 5)):
        pass


def test_what_honk_spends_beside_an_agent_is_not_left_to_the_agent() -> None:
    async def admitted(charged: float) -> None:
        account = Account(Budget(1.0, 10))
        account.charge(charged)
        await account.settle(await account.admit(0.1), 0.1)
        await account.admit(0.1)

    wait_for(admitted(0.8))
    with pytest.raises(LimitReached):
        wait_for(admitted(0.95))
