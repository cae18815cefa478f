"""OpenAI's Responses carried over OpenAI's chat completions, and what is changed where a model speaks it itself.

The one place for this pair of dialects. A request is read in `asked` (its items in `items`, its tools in `tools`), an
answer is made in `answer`, a stream in `stream`; `native` is for models that speak the dialect. The specifications are
OpenAI's OpenAPI document and the Open Responses specification (https://www.openresponses.org/specification).
"""
