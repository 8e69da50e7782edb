import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { anthropicTool, apiKey, assertAnswer, bare, base, model, say } from "../setup.mjs";

// both versions of the API that are in use: the SDK's own and the older one
const versions = [undefined, "2023-06-01"];

function makeClient(version, how = {}) {
  return new Anthropic({
    baseURL: base, apiKey, maxRetries: 0, timeout: 60_000,
    defaultHeaders: version ? { "anthropic-version": version } : {},
    ...how,
  });
}

const ask = { model, max_tokens: 300, messages: say };
const toolHistory = [
  { role: "user", content: "How is the weather in Oslo?" },
  { role: "assistant", content: [
    { type: "text", text: "I will look." },
    { type: "tool_use", id: "toolu_1", name: "get_weather", input: { city: "Oslo" } }] },
  { role: "user", content: [
    { type: "tool_result", tool_use_id: "toolu_1", content: "clear, 21 degrees" },
    { type: "text", text: "And now?" }] },
];

function textOf(message) {
  return message.content.filter((b) => b.type === "text").map((b) => b.text).join("");
}

for (const version of versions) {
  const client = makeClient(version);
  const name = version ?? "the SDK's version";

  test(`messages, ${name}`, async () => {
    const answer = await client.messages.create({ ...ask, system: "You are helpful." });
    assert.equal(answer.type, "message");
    assert.equal(answer.role, "assistant");
    assert.equal(answer.stop_reason, "end_turn");
    assert.ok(answer.usage.output_tokens > 0);
    assertAnswer(textOf(answer));
  });

  test(`messages, streamed, ${name}`, async () => {
    const kinds = [];
    const open = new Set();
    let text = "";
    for await (const event of await client.messages.create({ ...ask, stream: true })) {
      kinds.push(event.type);
      if (event.type === "content_block_start") {
        assert.equal(open.size, 0, "one block is open at a time");
        open.add(event.index);
      }
      if (event.type === "content_block_delta") {
        assert.ok(open.has(event.index));
        text += event.delta.text ?? "";
      }
      if (event.type === "content_block_stop") open.delete(event.index);
    }
    assertAnswer(text);
    assert.equal(kinds[0], "message_start");
    assert.equal(kinds.at(-1), "message_stop");
    assert.equal(kinds.at(-2), "message_delta");
  });

  test(`messages, streamed through the SDK's accumulator, ${name}`, async () => {
    const whole = await client.messages.stream(ask).finalMessage();
    assertAnswer(textOf(whole));
    assert.equal(whole.stop_reason, "end_turn");
  });

  test(`count_tokens, ${name}`, async () => {
    const few = await client.messages.countTokens({ model, messages: say });
    const more = await client.messages.countTokens({
      model, messages: [{ role: "user", content: "Who are you? ".repeat(50) }] });
    assert.ok(few.input_tokens > 0);
    assert.ok(more.input_tokens > few.input_tokens);
  });
}

const client = makeClient();

test("a bearer token in place of a key", async () => {
  const other = makeClient(undefined, { apiKey: null, authToken: apiKey });
  assertAnswer(textOf(await other.messages.create(ask)));
});

test("messages stop at max_tokens and say so", async () => {
  const answer = await client.messages.create({ ...ask, max_tokens: 5 });
  assert.equal(answer.stop_reason, "max_tokens");
  assert.equal(answer.usage.output_tokens, 5);
});

// the demo models never use a tool: what counts is that every form arrives and is answered
test("tool definitions and every form of tool_choice are accepted", async () => {
  for (const tool_choice of [{ type: "auto" }, { type: "none" }, { type: "any" },
                             { type: "tool", name: "get_weather" }]) {
    const answer = await client.messages.create({
      ...ask, tools: [anthropicTool], tool_choice });
    assertAnswer(textOf(answer));
  }
  assertAnswer(textOf(await client.messages.stream({
    ...ask, tools: [anthropicTool] }).finalMessage()));
});

test("a history with tool use and results", async () => {
  const answer = await client.messages.create({
    ...ask, messages: toolHistory, tools: [anthropicTool] });
  assertAnswer(textOf(answer));
});

test("blocks with cache_control and a system of blocks", async () => {
  const answer = await client.messages.create({
    ...ask,
    system: [{ type: "text", text: "You are helpful.", cache_control: { type: "ephemeral" } }],
    messages: [{ role: "user", content: [
      { type: "text", text: "Who are you?", cache_control: { type: "ephemeral" } }] }],
  });
  assertAnswer(textOf(answer));
});

test("the list of models", async () => {
  const ids = [];
  for await (const entry of await client.models.list()) ids.push(entry.id);
  assert.ok(ids.length > 0);
  if (process.env.LISTED) assert.ok(ids.includes(process.env.LISTED));
});

test("an unknown model is an SDK error with a message",
  { skip: bare }, async () => {
    await assert.rejects(
      client.messages.create({ ...ask, model: "no-such-model" }),
      (error) => {
        assert.ok(error instanceof Anthropic.NotFoundError, error.constructor.name);
        assert.equal(error.error.type, "error");
        assert.equal(error.error.error.type, "not_found_error");
        assert.match(error.message, /no-such-model/);
        return true;
      });
  });

test("a bad request is an SDK error in the protocol's shape",
  { skip: bare },
  async () => {
    await assert.rejects(
      client.messages.create({ ...ask, messages: "not a list" }),
      (error) => {
        assert.ok(error instanceof Anthropic.BadRequestError, error.constructor.name);
        assert.equal(error.error.type, "error");
        assert.equal(error.error.error.type, "invalid_request_error");
        return true;
      });
  });
