"""A canary gets its share, and who has begun with a model stays with it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from math import sqrt

from tests.e2e.choosing.conftest import Publish
from tests.e2e.person import Person


def split(sticky: str) -> str:
    return f"""rules = [
      {{ name = "canary", when {{ request.model = pair }}, split {{ steady = 20, swift = 80, sticky_by = {sticky} }} }}
    ]"""


def test_a_canary_gets_its_share_of_requests(admin: Person, publish: Publish):
    publish(split("request"))
    requests, share = 400, 0.2
    with ThreadPoolExecutor(16) as hands:
        answers = list(hands.map(lambda _: admin.ask("pair"), range(requests)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-gateway-rule"] for answer in answers} <= {"canary", "order of the name"}
    canaries = sum(answer.headers["x-gateway-model"] == "steady" for answer in answers)
    # Four standard deviations of a binomial: one run in 16,000 falls outside by chance.
    spread = 4 * sqrt(requests * share * (1 - share))
    assert abs(canaries - requests * share) < spread


def test_a_conversation_stays_with_its_model_while_it_grows(admin: Person, publish: Publish):
    publish(split("conversation"))

    def talk(number: int) -> list[str]:
        said = [{"role": "user", "content": f"This is conversation {number}."}]
        served: list[str] = []
        for _ in range(3):
            answer = admin.http.post("/v1/chat/completions", json={"model": "pair", "messages": said})
            assert answer.status_code == 200, answer.text
            served.append(answer.headers["x-gateway-model"])
            said = [*said, answer.json()["choices"][0]["message"], {"role": "user", "content": "Go on."}]
        return served

    with ThreadPoolExecutor(16) as hands:
        talks = list(hands.map(talk, range(60)))
    assert all(len(set(served)) == 1 for served in talks)
    assert {served[0] for served in talks} == {"swift", "steady"}


def test_a_caller_stays_with_its_model(admin: Person, publish: Publish):
    publish(split("caller"))
    assert len({admin.ask("pair", f"number {n}").headers["x-gateway-model"] for n in range(20)}) == 1
