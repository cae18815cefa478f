"""Messages over chat: the bridge."""

from __future__ import annotations

from gateway.providers.dialects.messages.answered import message
from gateway.providers.dialects.messages.asked import chat_request
from gateway.providers.dialects.messages.told import Telling
from gateway.providers.dialects.messages.values import Lost, decoded, encoded
from gateway.providers.ports import Body


class MessagesOverChat:
    """One messages request, carried over chat; its answer is named after the request."""

    def __init__(self, body: Body, request_id: str) -> None:
        """Raises InvalidRequest naming the field that is wrong."""
        asked, lost = decoded(body), Lost()
        self.body: Body = encoded(chat_request(asked, lost))
        self.dropped = lost.paths
        stops = asked.get("stop_sequences")
        self._stops = (
            frozenset(each for each in stops if isinstance(each, str)) if stops else frozenset[str]()
        )
        self._request_id = request_id

    def reply(self, body: bytes) -> bytes:
        """A chat completion as an answer of messages. Raises UpstreamMalformed."""
        return message(body, self._request_id, self._stops)

    def stream(self) -> Telling:
        """A translator for one stream of chat chunks."""
        return Telling(self._request_id, self._stops)
