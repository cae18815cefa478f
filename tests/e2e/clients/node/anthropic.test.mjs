// Anthropic's Node SDK as it comes: only its address and its key are ours.
import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { betaTool } from "@anthropic-ai/sdk/helpers/beta/json-schema";

const client = new Anthropic({ baseURL: process.env.GATEWAY_URL, apiKey: process.env.GATEWAY_KEY });
const hello = [{ role: "user", content: "Say hello in one short sentence." }];
const weather = [{ role: "user", content: "What is the weather in Zürich?" }];

test("the real model answers", async () => {
  const message = await client.messages.create({ model: "assistant", max_tokens: 16, messages: hello });
  assert.equal(message.type, "message");
  assert.ok(message.content[0].text);
  assert.ok(message.usage.output_tokens > 0);
  assert.match(message._request_id, /^[0-9a-f-]{36}$/);
});

test("the streaming helper puts the answer together", async () => {
  const stream = client.messages.stream({ model: "assistant", max_tokens: 16, messages: hello });
  let told = "";
  stream.on("text", (delta) => (told += delta));
  const message = await stream.finalMessage();
  assert.equal(message.content[0].text, told);
  assert.ok(told);
});

for (const stream of [false, true]) {
  test(`the tool runner runs a tool, ${stream ? "streamed" : "whole"}`, async () => {
    const asked = [];
    const tool = betaTool({
      name: "get_weather", description: "The weather in a city.",
      inputSchema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
      run: ({ city }) => { asked.push(city); return "Sunny."; },
    });
    const runner = client.beta.messages.toolRunner({
      model: "weather", max_tokens: 128, messages: weather, tools: [tool], stream,
    });
    const final = await runner.runUntilDone();
    assert.deepEqual(asked, ["Zürich"]);
    assert.ok(final.content[0].text);
  });
}

test("tokens are counted", async () => {
  const counted = await client.messages.countTokens({ model: "assistant", messages: hello });
  assert.ok(counted.input_tokens > 0);
});

test("models are listed in its shape", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes("assistant"));
});

test("errors are the SDK's own classes", async () => {
  const wrong = new Anthropic({ baseURL: process.env.GATEWAY_URL, apiKey: "wrong" });
  const asked = { model: "ok", max_tokens: 8, messages: hello };
  await assert.rejects(wrong.messages.create(asked), Anthropic.AuthenticationError);
  await assert.rejects(client.messages.create({ ...asked, model: "claude-99" }), Anthropic.NotFoundError);
});
