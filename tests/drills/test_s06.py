"""S06 small: every kind of signature, and some hundred forged calls, on the app alone."""

from __future__ import annotations

from tests.contract.web.posting import OTHER_SECRET, SECRET
from tests.drills import s06_webhooks
from tests.drills._served_app import served_app
from tests.drills.world import World


def test_s06_only_fresh_correct_first_deliveries_have_an_effect(place: World) -> None:
    place.captello_extra["webhook_secret"] = f"{OTHER_SECRET} {SECRET}"
    with served_app(place) as origin:
        post = s06_webhooks.poster(f"{origin}/dynamics/webhooks/captello_default")
        assert s06_webhooks.judged(place, post, 1).wrong == []


def test_s06_forged_calls_change_nothing_and_take_no_connection(place: World) -> None:
    place.captello_extra["webhook_secret"] = SECRET
    with served_app(place) as origin:
        assert s06_webhooks.flooded(place, f"{origin}/dynamics/webhooks", 1, 400).wrong == []
