"""The one place for the pair: OpenAI's chat and Anthropic's messages, both ways, requests, answers and streams.

`asked` and `answered`, `told`: a messages request over chat, and the way back. `outward`, `inward`, `heard`: a chat
request to an upstream of messages, and the way back. What both ways share stands in `tables`.
"""
