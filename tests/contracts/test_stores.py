"""One suite for every port of every store: what holds in memory holds in a database."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

import pytest

from gateway import decisions
from gateway.domain.delivery import Destination
from gateway.domain.errors import Interrupted, InvalidRequest, UpstreamTimeout
from gateway.domain.identity import Caller, CallerKind, Key, Right
from gateway.domain.inference import Failure, Mode, Outcome, Settlement, Status, Traits
from gateway.domain.jobs import job_of
from gateway.domain.rules import Decision, Step, Terms
from gateway.ids import derive_id, moment_of, new_id
from gateway.storage.ports import Entry, JobFilter, RequestFilter
from tests.builders import BODY, a_failed_attempt, a_job, a_request, a_usage_of_all, an_attempt, minted_at

DELIVER = {
    "nats": Destination("subject", trace_id="t"),
    "webhook": Destination("https://x/", has_secret=True, sealed="c2VhbGVk", key_id="k"),
}

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(seconds=5)


def a_settlement(request, *attempts, **changes):
    attempts = attempts or (an_attempt(),)
    return replace(
        Settlement(
            request.id,
            Status.COMPLETED,
            request.accepted_at + timedelta(seconds=1),
            attempts,
            queue_ms=1.5,
            overhead_ms=2.25,
            decision=("good: the first of its name", "other: not tried"),
        ),
        **changes,
    )


def an_entry(
    request=None, *attempts, prompt: str | None = BODY, answer: str | None = '{"choices":[]}', **changes
):
    request = request or a_request()
    return Entry(request, a_settlement(request, *attempts, **changes), prompt, answer)


def all_of(entries, **changes):
    moments = [entry.request.accepted_at for entry in entries]
    return RequestFilter(min(moments), max(moments) + timedelta(milliseconds=1), **changes)


# ---- the ledger --------------------------------------------------------------------------------------------------
async def test_what_was_entered_is_read_back_whole(store):
    request = a_request(
        tags={"team": "search"},
        metadata={"run": "7"},
        deliver={"webhook": Destination("https://x/", has_secret=True)},
        candidates=("slow", "good"),
        client_request_id="mine",
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
        fingerprint="f" * 64,
    )
    failed = a_failed_attempt(
        1,
        "slow",
        failure=Failure(
            "upstream_timeout", "slow", True, "p", 504, "upstream said: {…}", timedelta(seconds=1.5)
        ),
        usage=None,
        cost_usd=None,
        first_token_ms=None,
    )
    usage = a_usage_of_all(estimated=True)
    answered = an_attempt(2, usage=usage, cost_usd=Decimal("0.0000001234567890"))
    entry = an_entry(request, failed, answered)
    assert await store.requests.settle(entry)
    record = await store.requests.get(request.id, with_text=True)
    assert record.request == replace(request, body="")
    assert record.settlement == entry.settlement
    assert (record.prompt, record.answer) == (entry.prompt, entry.answer)
    assert await store.requests.settlement(request.id) == entry.settlement
    assert record.settlement.cost_usd is None, "one attempt's cost is unknown, so is the whole"


async def test_what_was_decided_and_by_what_is_read_back(store):
    traits = Traits(
        input_tokens=7,
        max_output=5,
        body_bytes=300,
        needs=("tools",),
        images=1,
        conversation="c" * 16,
        select="gpu",
        prefer="cost",
        exclude=("bad",),
        max_cost_usd=Decimal("0.50"),
        caller_name="n",
        caller_kind="service",
        caller_tags={"team": "a"},
        caller_models=("x", "y"),
        roll=0.25,
    )
    first = Decision(
        ("slow", "good"), {"bad": "excluded \0"}, "7", "cheap first", (Step("r", "did"),), roll=0.25
    )
    again = Decision(("good",), {"slow": "just failed"}, "8", terms=Terms(deadline=timedelta(seconds=5)))
    told = decisions.tell(first)
    request = a_request(traits=traits, registry_version="42", decision=told)
    await store.requests.settle(an_entry(request, decisions=(decisions.tell(again),)))
    record = await store.requests.get(request.id)
    assert record.request == replace(request, body="", decision="")
    assert record.decisions[1] == again
    assert replace(record.decisions[0], passed_over=first.passed_over) == first
    assert (record.settlement.decisions, record.prompt) == ((), None)
    (found,) = (await store.requests.find(all_of([an_entry(request)]), limit=1)).rows
    assert (found.request.traits, found.decisions) == (traits, ())


async def test_a_decision_is_kept_where_texts_are_not(store):
    request = a_request(decision=decisions.tell(Decision(("good",))))
    await store.requests.settle(an_entry(request, prompt=None, answer=None))
    record = await store.requests.get(request.id, with_text=True)
    assert (record.prompt, record.answer, len(record.decisions)) == (None, None, 1)


async def test_a_decision_that_nobody_can_read_any_more_loses_no_row(store):
    request = a_request(decision='{"ranked": 7}')
    await store.requests.settle(an_entry(request))
    record = await store.requests.get(request.id)
    assert record.decisions == ()


async def test_a_failed_request_keeps_its_failure(store):
    failure = Failure.of(UpstreamTimeout(detail="10.0.0.1 took too long", retry_after=timedelta(seconds=2)))
    entry = an_entry(None, a_failed_attempt(), status=Status.FAILED, failure=failure, overhead_ms=None)
    await store.requests.settle(entry)
    assert await store.requests.settlement(entry.request.id) == entry.settlement


async def test_texts_are_shown_only_when_asked_for(store):
    entry = an_entry()
    await store.requests.settle(entry)
    record = await store.requests.get(entry.request.id)
    assert (record.prompt, record.answer) == (None, None)
    found = await store.requests.find(all_of([entry]), limit=10)
    assert [(r.prompt, r.answer, r.request.body) for r in found.rows] == [(None, None, "")]


@pytest.mark.parametrize(("prompt", "answer"), [(None, None), (BODY, None), (None, "{}"), ("", "")])
async def test_texts_that_are_not_logged_are_not_there(store, prompt, answer):
    entry = an_entry(prompt=prompt, answer=answer)
    await store.requests.settle(entry)
    record = await store.requests.get(entry.request.id, with_text=True)
    assert (record.prompt, record.answer) == (prompt, answer)


async def test_a_request_that_made_no_attempt_is_settled_too(store):
    request = a_request()
    settlement = replace(a_settlement(request), attempts=(), status=Status.EXPIRED)
    assert await store.requests.settle(Entry(request, settlement))
    assert await store.requests.settlement(request.id) == settlement


async def test_what_is_settled_stays_as_it_was(store):
    entry = an_entry()
    assert await store.requests.settle(entry)
    other = an_entry(entry.request, a_failed_attempt(), an_attempt(2), status=Status.FAILED, answer="other")
    assert not await store.requests.settle(other)
    record = await store.requests.get(entry.request.id, with_text=True)
    assert (record.settlement, record.answer) == (entry.settlement, entry.answer)


async def test_many_are_settled_at_once_each_of_them_once(store):
    entries = [an_entry() for _ in range(200)]
    told = await asyncio.gather(*(store.requests.settle(entry) for entry in [*entries, *entries]))
    assert sum(told) == 200
    assert all(first + second == 1 for first, second in zip(told[:200], told[200:], strict=True))
    found = await store.requests.find(all_of(entries), limit=1000)
    assert {r.request.id for r in found.rows} == {entry.request.id for entry in entries}
    assert all(len(r.settlement.attempts) == 1 for r in found.rows)


async def test_an_entry_that_cannot_be_written_fails_alone(store):
    entries = [an_entry() for _ in range(50)]
    poison = an_entry(None, an_attempt(1), an_attempt(1))
    told = await asyncio.gather(
        *(store.requests.settle(entry) for entry in [*entries[:25], poison, *entries[25:]]),
        return_exceptions=True,
    )
    assert isinstance(told.pop(25), Exception)
    assert told == [True] * 50
    assert await store.requests.settlement(poison.request.id) is None, "all or nothing"


async def test_a_request_that_has_not_ended_is_not_settled(store):
    entry = an_entry(status=Status.IN_PROGRESS)
    with pytest.raises(Exception, match=r"status|ended"):
        await store.requests.settle(entry)


async def test_text_that_no_database_takes_is_marked_and_not_lost(store):
    entry = an_entry(
        a_request(metadata={"a\0b": "c\0"}),
        a_failed_attempt(failure=Failure("upstream_broken", "broken", detail="\0\ud800 \\u0000")),
        prompt='"\0"',
        answer="\ud83d…",
        status=Status.FAILED,
    )
    assert await store.requests.settle(entry)
    record = await store.requests.get(entry.request.id, with_text=True)
    assert (record.prompt, record.answer) == ('"\N{REPLACEMENT CHARACTER}"', "\N{REPLACEMENT CHARACTER}…")
    assert "\\u0000" in record.settlement.attempts[0].failure.detail, "an escape in the text is only text"


async def test_what_is_unknown_is_none(store):
    for unknown in (new_id(), derive_id("agent-1", "key"), "no-uuid", "", "\0"):
        assert await store.requests.settlement(unknown) is None
        assert await store.requests.get(unknown) is None
        assert await store.jobs.get(unknown) is None


async def test_an_id_that_is_no_uuid_is_refused(store):
    with pytest.raises(ValueError, match="UUID"):
        await store.requests.settle(an_entry(a_request(id="r-1", accepted_at=NOW)))
    with pytest.raises(ValueError, match="UUID"):
        await store.jobs.accept(job_of(a_job(id="j-1", accepted_at=NOW)))


async def test_a_derived_id_is_settled_once_and_found(store):
    request = a_job(id=derive_id("agent-1", "key"), accepted_at=NOW)
    entry = an_entry(request)
    assert await store.requests.settle(entry)
    assert not await store.requests.settle(entry)
    assert (await store.requests.get(request.id)).request == replace(request, body="")


async def test_a_request_is_filed_under_the_moment_of_its_id(store):
    request = a_request()
    off = replace(request, accepted_at=request.accepted_at + timedelta(microseconds=700))
    await store.requests.settle(an_entry(off))
    assert (await store.requests.get(request.id)).request.accepted_at == moment_of(request.id)


async def test_requests_of_long_ago_find_a_place_too(store):
    request = a_request(id=minted_at(datetime(2019, 5, 4, 3, 2, 1, tzinfo=UTC)))
    await store.requests.settle(an_entry(request))
    assert await store.requests.get(request.id) is not None
    await store.ensure_partitions(datetime(2019, 5, 31, 23, 59, tzinfo=UTC))
    assert await store.requests.get(request.id) is not None
    assert not await store.requests.settle(an_entry(request))
    assert await store.ensure_partitions(datetime(2019, 5, 1, tzinfo=UTC)) == 0


# ---- looking for requests ----------------------------------------------------------------------------------------
async def test_pages_follow_each_other_newest_first_and_leave_nothing_out(store):
    entries = [an_entry() for _ in range(23)]
    entries += [
        an_entry(a_job(id=derive_id(str(n)), accepted_at=entries[0].request.accepted_at)) for n in range(4)
    ]
    await asyncio.gather(*(store.requests.settle(entry) for entry in entries))
    seen, after = [], None
    for _ in range(9):
        page = await store.requests.find(all_of(entries), limit=3, after=after)
        seen += [(r.request.accepted_at, r.request.id) for r in page.rows]
        after = page.next_after
    assert after is None
    assert seen == sorted(((e.request.accepted_at, e.request.id) for e in entries), reverse=True)


async def test_a_page_begins_after_an_id_that_is_no_longer_there(store):
    older, gone, newer = (a_request(id=minted_at(NOW + timedelta(seconds=n))) for n in range(3))
    for request in (older, newer):
        await store.requests.settle(an_entry(request))
    page = await store.requests.find(
        RequestFilter(NOW - timedelta(days=1), NOW + timedelta(days=1)), limit=9, after=gone.id
    )
    assert [r.request.id for r in page.rows] == [older.id]


@pytest.mark.parametrize("after", ["nonsense", derive_id("nobody", "nothing")])
async def test_a_page_after_nothing_is_refused(store, after):
    with pytest.raises(InvalidRequest):
        await store.requests.find(RequestFilter(NOW, LATER), limit=5, after=after)
    with pytest.raises(InvalidRequest):
        await store.jobs.find(JobFilter(), limit=5, after=after)


async def test_requests_are_found_by_caller_model_status_and_time(store):
    mine = an_entry(a_request(caller="me", model="assistant"), an_attempt(model="served"))
    failed = an_entry(
        a_request(caller="you", model="other"), a_failed_attempt(model="broken"), status=Status.FAILED
    )
    for entry in (mine, failed):
        await store.requests.settle(entry)

    async def found(**wanted):
        page = await store.requests.find(replace(all_of([mine, failed]), **wanted), limit=9)
        return {r.request.id for r in page.rows}

    assert await found() == {mine.request.id, failed.request.id}
    assert await found(caller="me") == {mine.request.id}
    assert await found(model="assistant") == {mine.request.id}
    assert await found(model="served") == {mine.request.id}
    assert await found(model="broken") == set()
    assert await found(status=Status.FAILED) == {failed.request.id}
    assert await found(caller="me", status=Status.FAILED) == set()
    assert await found(caller="no\0body") == set()
    assert await found(until=mine.request.accepted_at) == set()
    assert failed.request.id in await found(since=failed.request.accepted_at)


# ---- jobs --------------------------------------------------------------------------------------------------------
async def test_a_job_goes_from_queued_to_completed(store):
    request = a_job(
        metadata={"a": "b\0"},
        deliver={
            "nats": Destination("subject", trace_id="t"),
            "webhook": Destination("https://x/", "", has_secret=True, sealed="c2VhbGVk", key_id="k"),
        },
        fingerprint="f",
    )
    job = job_of(request)
    kept = await store.jobs.accept(job)
    assert replace(kept, metadata={}) == replace(job, metadata={})
    await store.jobs.begin(job.id, LATER)
    await store.jobs.begin(job.id, LATER + timedelta(seconds=9))
    begun = await store.jobs.get(job.id)
    assert (begun.status, begun.started_at) == (Status.IN_PROGRESS, LATER)
    entry = an_entry(request, a_failed_attempt(), an_attempt(2))
    await store.requests.settle(entry)
    ended = await store.jobs.get(job.id)
    assert (ended.status, ended.started_at, ended.attempts) == (Status.COMPLETED, LATER, 2)
    assert (ended.completed_at, ended.served_model) == (entry.settlement.finished_at, "good")
    assert (ended.usage, ended.cost_usd) == (entry.settlement.usage, entry.settlement.cost_usd)


async def test_a_job_is_accepted_once(store):
    job = job_of(a_job(id=derive_id("agent-1", "key"), accepted_at=NOW))
    await store.jobs.accept(job)
    await store.jobs.begin(job.id, LATER)
    again = await store.jobs.accept(replace(job, fingerprint="other", created_at=LATER))
    assert (again.status, again.fingerprint, again.created_at) == (Status.IN_PROGRESS, "", NOW)


async def test_an_ended_job_neither_begins_nor_ends_again(store):
    request = a_job()
    await store.jobs.accept(job_of(request))
    failure = Failure("cancelled", "gone")
    await store.requests.settle(
        Entry(request, replace(a_settlement(request), attempts=(), status=Status.CANCELLED, failure=failure))
    )
    await store.jobs.begin(request.id, LATER)
    await store.requests.settle(an_entry(request))
    job = await store.jobs.get(request.id)
    assert (job.status, job.failure, job.started_at, job.served_model) == (
        Status.CANCELLED,
        failure,
        None,
        None,
    )


async def test_a_job_that_ends_before_its_acceptance_is_written_is_accepted_as_ended(store):
    request = a_job()
    await store.requests.settle(an_entry(request, status=Status.CANCELLED))
    job = await store.jobs.accept(job_of(request))
    assert job.status is Status.CANCELLED
    assert (job.caller, job.created_at, job.deadline) == (
        request.caller,
        request.accepted_at,
        request.deadline,
    )


async def test_a_synchronous_request_makes_no_job(store):
    entry = an_entry(a_request(mode=Mode.STREAM))
    await store.requests.settle(entry)
    assert await store.jobs.get(entry.request.id) is None


async def test_jobs_are_found_newest_first_by_caller_and_status(store):
    jobs = [job_of(a_job(caller="me" if n % 2 else "you")) for n in range(9)]
    for job in jobs:
        await store.jobs.accept(job)
    await store.jobs.begin(jobs[3].id, LATER)
    newest_first = [job.id for job in sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)]
    seen, after = [], None
    for _ in range(3):
        page = await store.jobs.find(JobFilter(), limit=3, after=after)
        seen += [job.id for job in page.rows]
        after = page.next_after
    assert (seen, after) == (newest_first, None)
    mine = await store.jobs.find(JobFilter(caller="me"), limit=9)
    assert {job.id for job in mine.rows} == {jobs[n].id for n in (1, 3, 5, 7)}
    begun = await store.jobs.find(JobFilter(caller="me", status=Status.IN_PROGRESS), limit=9)
    assert [job.id for job in begun.rows] == [jobs[3].id]


# ---- claims ------------------------------------------------------------------------------------------------------
async def test_a_claimed_call_is_answered_and_found_by_a_second_run(store):
    job, attempt = new_id(), an_attempt(1)
    assert await store.claims.claim(job, 1, "worker-1") is None
    assert await store.claims.result(job) is None
    assert await store.claims.answer(job, attempt, b'{"choices":[]}\0\xff')
    assert await store.claims.claim(job, 1, "worker-2") == attempt
    assert await store.claims.result(job) == b'{"choices":[]}\0\xff'


async def test_a_claim_without_an_answer_is_an_interruption(store):
    job = new_id()
    await store.claims.claim(job, 1, "worker-1")
    for holder in ("worker-1", "worker-2"):
        with pytest.raises(Interrupted):
            await store.claims.claim(job, 1, holder)
    assert await store.claims.claim(job, 2, "worker-2") is None, "another attempt is another claim"


async def test_of_many_who_claim_one_wins(store):
    job = new_id()
    told = await asyncio.gather(
        *(store.claims.claim(job, 1, f"w{n}") for n in range(20)), return_exceptions=True
    )
    assert told.count(None) == 1
    assert sum(isinstance(each, Interrupted) for each in told) == 19


async def test_what_was_given_up_takes_no_late_answer(store):
    job = new_id()
    await store.claims.claim(job, 1, "worker-1")
    assert await store.claims.give_up(job, 1) is None
    assert not await store.claims.answer(job, an_attempt(1), b"late")
    assert await store.claims.give_up(job, 1) is None
    assert await store.claims.result(job) is None
    with pytest.raises(Interrupted):
        await store.claims.claim(job, 1, "worker-2")


async def test_what_was_given_up_before_it_began_does_not_begin(store):
    job = new_id()
    assert await store.claims.give_up(job, 1) is None
    with pytest.raises(Interrupted):
        await store.claims.claim(job, 1, "worker-1")


async def test_giving_up_what_was_answered_returns_the_answer(store):
    job, attempt = new_id(), a_failed_attempt(1, failure=Failure("upstream_broken", "x", detail="a\0b"))
    await store.claims.claim(job, 1, "worker-1")
    assert await store.claims.answer(job, attempt, None)
    kept = await store.claims.give_up(job, 1)
    assert kept is not None
    assert kept.outcome is Outcome.FAILED
    assert await store.claims.answer(job, an_attempt(1), b"second")
    assert (await store.claims.claim(job, 1, "worker-2")).outcome is Outcome.FAILED, "the first answer stays"
    assert await store.claims.result(job) is None


async def test_the_result_is_the_answer_of_the_attempt_that_succeeded(store):
    job = new_id()
    await store.claims.claim(job, 1, "w")
    await store.claims.answer(job, a_failed_attempt(1), None)
    await store.claims.claim(job, 2, "w")
    await store.claims.answer(job, an_attempt(2), b"second")
    assert await store.claims.result(job) == b"second"


async def test_an_answer_that_is_no_json_says_what_it_is_and_is_no_result(store):
    job = new_id()
    await store.claims.claim(job, 1, "here")
    assert await store.claims.answer(job, an_attempt(1), b"RIFF\0", "audio/wav")
    kept = await store.claims.kept(job)
    assert kept is not None
    assert (kept.body, kept.media_type) == (b"RIFF\0", "audio/wav")
    assert await store.claims.result(job) is None
    assert await store.claims.kept(new_id()) is None


async def test_nothing_is_answered_that_was_not_claimed(store):
    assert not await store.claims.answer(new_id(), an_attempt(1), b"x")


# ---- callers and keys --------------------------------------------------------------------------------------------
AGENT = Caller("agent-7", "seven", CallerKind.AGENT, frozenset({Right.INFER}), frozenset({"assistant"}))


def a_key(secret="one", **changes):
    digest = sha256(secret.encode()).digest()
    return replace(Key(f"key-{secret}", AGENT.id, digest, secret[-4:], NOW, note="for tests"), **changes)


async def test_a_caller_is_known_by_a_valid_key(store):
    await store.keys.add_caller(AGENT)
    await store.keys.add_key(a_key())
    assert await store.keys.caller(a_key().digest, NOW) == replace(AGENT, key_id="key-one")
    assert await store.keys.caller(a_key("other").digest, NOW) is None


async def test_a_caller_of_a_known_name_is_returned_as_it_is_kept(store):
    assert await store.keys.add_caller(AGENT) == AGENT
    again = await store.keys.add_caller(replace(AGENT, id="agent-8", rights=frozenset(Right), models=None))
    assert again == AGENT


async def test_a_key_ends_when_it_expires(store):
    await store.keys.add_caller(AGENT)
    await store.keys.add_key(a_key(expires_at=LATER))
    assert await store.keys.caller(a_key().digest, NOW) is not None
    assert await store.keys.caller(a_key().digest, LATER) is None
    assert not await store.keys.revoke_key("key-one", LATER)


async def test_a_key_is_revoked_once(store):
    await store.keys.add_caller(AGENT)
    await store.keys.add_key(a_key())
    assert await store.keys.revoke_key("key-one", LATER)
    assert not await store.keys.revoke_key("key-one", LATER + timedelta(seconds=1))
    assert not await store.keys.revoke_key("key-none", LATER)
    assert await store.keys.caller(a_key().digest, LATER) is None


async def test_keys_are_listed_oldest_first_with_their_callers(store):
    await store.keys.add_caller(AGENT)
    for number, secret in enumerate(("new", "old", "mid")):
        await store.keys.add_key(a_key(secret, created_at=NOW + timedelta(days=(2, 0, 1)[number])))
    listed = await store.keys.keys()
    assert [key.id for _, key in listed] == ["key-old", "key-mid", "key-new"]
    assert listed[0] == (replace(AGENT, key_id="key-old"), a_key("old"))


async def test_the_same_key_again_changes_nothing(store):
    await store.keys.add_caller(AGENT)
    await store.keys.add_key(a_key())
    await store.keys.add_key(a_key(note="other"))
    assert [key.note for _, key in await store.keys.keys()] == ["for tests"]


@pytest.mark.parametrize(
    "wrong",
    [{"digest": b"short"}, {"caller_id": "nobody"}, {"id": "key-two"}],
    ids=["short", "no caller", "digest twice"],
)
async def test_a_key_that_cannot_be_is_refused(store, wrong):
    await store.keys.add_caller(AGENT)
    await store.keys.add_key(a_key("first", digest=a_key().digest))
    refused = replace(a_key("first", id="key-three", digest=a_key("third").digest), **wrong)
    if wrong == {"id": "key-two"}:
        refused = replace(refused, digest=a_key().digest)
    with pytest.raises(Exception, match=r"key|digest|caller"):
        await store.keys.add_key(refused)


# ---- payloads by reference, and the store itself -----------------------------------------------------------------
async def test_a_payload_is_read_back_as_it_was(store):
    data = bytes(range(256)) * 4096
    await store.blobs.put("a/b", data)
    await store.blobs.put("a/b", data)
    assert await store.blobs.get("a/b") == data
    assert await store.blobs.get("a/c") is None


async def test_a_store_that_is_there_answers(store):
    await store.ping()
