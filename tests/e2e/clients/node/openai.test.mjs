// OpenAI's Node SDK as it comes: only its address and its key are ours.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.GATEWAY_URL}/v1`, apiKey: process.env.GATEWAY_KEY });
const hello = [{ role: "user", content: "Say hello in one short sentence." }];
const weather = [{ role: "user", content: "What is the weather in Zürich?" }];

test("the real model answers", async () => {
  const answer = await client.chat.completions.create({ model: "assistant", messages: hello, max_tokens: 16 });
  assert.ok(answer.choices[0].message.content);
  assert.ok(answer.usage.completion_tokens > 0);
  assert.match(answer._request_id, /^[0-9a-f-]{36}$/);
});

test("the real model streams", async () => {
  const stream = await client.chat.completions.create({
    model: "assistant", messages: hello, max_tokens: 16, stream: true, stream_options: { include_usage: true },
  });
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  assert.ok(chunks.filter((chunk) => chunk.choices[0]?.delta.content).length > 1);
  assert.ok(chunks.at(-1).usage.completion_tokens > 1);
});

test("the streaming helper puts the answer together", async () => {
  const stream = client.chat.completions.stream({ model: "assistant", messages: hello, max_tokens: 200 });
  let told = "";
  stream.on("content", (delta) => (told += delta));
  assert.equal(await stream.finalContent(), told);
  assert.ok(told);
});

test("a stream that is left early is closed", async () => {
  const stream = await client.chat.completions.create({ model: "long", messages: hello, stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.id);
    break;
  }
});

for (const stream of [false, true]) {
  test(`tools are run, ${stream ? "streamed" : "whole"}`, async () => {
    const asked = [];
    const runner = client.chat.completions.runTools({
      model: "weather", messages: weather, stream,
      tools: [{
        type: "function",
        function: {
          name: "get_weather", parse: JSON.parse, description: "The weather in a city.",
          parameters: { type: "object", properties: { city: { type: "string" } } },
          function: ({ city }) => { asked.push(city); return "Sunny."; },
        },
      }],
    });
    assert.ok(await runner.finalContent());
    assert.deepEqual(asked, ["Zürich"]);
  });
}

test("a schema is kept to by the real model", async () => {
  const schema = {
    type: "object", additionalProperties: false, required: ["name"],
    properties: { name: { type: "string", maxLength: 40 } },
  };
  const answer = await client.chat.completions.parse({
    model: "assistant", messages: hello, max_tokens: 60, temperature: 0,
    response_format: { type: "json_schema", json_schema: { name: "greeting", strict: true, schema } },
  });
  assert.equal(typeof JSON.parse(answer.choices[0].message.content).name, "string");
});

test("the real model makes vectors, packed and plain alike", async () => {
  const asked = { model: "smollm2-135m-embeddings", input: "hello" };
  const packed = await client.embeddings.create(asked);
  const plain = await client.embeddings.create({ ...asked, encoding_format: "float" });
  assert.equal(packed.data[0].embedding.length, plain.data[0].embedding.length);
  assert.ok(Math.abs(packed.data[0].embedding[0] - plain.data[0].embedding[0]) < 1e-4);
});

test("models are listed and found", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes("assistant"));
  assert.equal((await client.models.retrieve("assistant")).id, "assistant");
});

test("errors are the SDK's own classes, with our code", async () => {
  const wrong = new OpenAI({ baseURL: client.baseURL, apiKey: "wrong" });
  await assert.rejects(wrong.chat.completions.create({ model: "ok", messages: hello }), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    assert.equal(error.code, "invalid_api_key");
    return true;
  });
  await assert.rejects(client.chat.completions.create({ model: "gpt-99", messages: hello }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.equal(error.code, "model_not_found");
    return true;
  });
});

test("a stream that breaks throws", async () => {
  const stream = await client.chat.completions.create({ model: "close-mid-stream", messages: hello, stream: true });
  await assert.rejects(async () => {
    for await (const chunk of stream) assert.ok(chunk);
  }, OpenAI.APIError);
});

test("responses go on with what was said, and stream", async () => {
  const first = await client.responses.create({ model: "assistant", input: "My name is Ada.", max_output_tokens: 16 });
  assert.ok(first.output_text);
  const stream = client.responses.stream({
    model: "assistant", input: "Who am I?", previous_response_id: first.id, max_output_tokens: 400,
  });
  const events = [];
  for await (const event of stream) events.push(event);
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, at) => at));
  assert.ok((await stream.finalResponse()).output_text);
});

test("a response in the background is fetched when it is done", async () => {
  let made = await client.responses.create({ model: "ok", input: "Hello", background: true });
  for (let tries = 0; tries < 100 && ["queued", "in_progress"].includes(made.status); tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    made = await client.responses.retrieve(made.id);
  }
  assert.equal(made.status, "completed");
});
