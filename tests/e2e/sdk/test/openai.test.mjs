import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import {
  apiKey, assertAnswer, bare, base, embedModel, model, openaiTool, say,
} from "../setup.mjs";

const client = new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0, timeout: 60_000 });

const toolCall = {
  id: "call_1",
  type: "function",
  function: { name: "get_weather", arguments: '{"city":"Oslo"}' },
};
const toolHistory = [
  { role: "system", content: "You are helpful." },
  { role: "user", content: "How is the weather in Oslo?" },
  { role: "assistant", content: null, tool_calls: [toolCall] },
  { role: "tool", tool_call_id: "call_1", content: '{"sky":"clear","celsius":21}' },
];

test("chat", async () => {
  const answer = await client.chat.completions.create({ model, messages: say });
  assertAnswer(answer.choices[0].message.content);
  assert.equal(answer.object, "chat.completion");
  assert.equal(answer.choices[0].message.role, "assistant");
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.ok(answer.usage.completion_tokens > 0);
});

test("chat, streamed", async () => {
  const stream = await client.chat.completions.create({
    model, messages: say, stream: true, stream_options: { include_usage: true },
  });
  let text = "";
  let finish = null;
  let usage = null;
  for await (const chunk of stream) {
    assert.equal(chunk.object, "chat.completion.chunk");
    text += chunk.choices[0]?.delta?.content ?? "";
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assertAnswer(text);
  assert.equal(finish, "stop");
  assert.ok(usage.completion_tokens > 0);
});

test("chat, streamed through the SDK's accumulator", async () => {
  const runner = client.chat.completions.stream({ model, messages: say });
  const whole = await runner.finalChatCompletion();
  assertAnswer(whole.choices[0].message.content);
  assert.equal(whole.choices[0].finish_reason, "stop");
});

test("chat stops at max_tokens and says so", async () => {
  const answer = await client.chat.completions.create({ model, messages: say, max_tokens: 5 });
  assert.equal(answer.choices[0].finish_reason, "length");
  assert.equal(answer.usage.completion_tokens, 5);
});

// the demo models never call a tool, and their template knows none, so that a required one
// is asked for in vain: what counts is that every form arrives and is answered
test("tool definitions and every form of tool_choice are accepted", async () => {
  const named = { type: "function", function: { name: "get_weather" } };
  for (const tool_choice of ["auto", "none", "required", named]) {
    const ask = { model, messages: say, tools: [openaiTool], tool_choice, max_tokens: 200 };
    const answer = await client.chat.completions.create(ask);
    assertAnswer(answer.choices[0].message.content);
  }
  const runner = client.chat.completions.stream({
    model, messages: say, tools: [openaiTool], parallel_tool_calls: true });
  assertAnswer((await runner.finalChatCompletion()).choices[0].message.content);
});

test("a history with tool calls and results", async () => {
  const answer = await client.chat.completions.create({
    model, messages: toolHistory, tools: [openaiTool],
  });
  assertAnswer(answer.choices[0].message.content);
});

test("completions, streamed and not", async () => {
  // a completion has no chat template: the prompt brings the demo models' own marks
  const ask = { model, prompt: "<|user|>Who are you?<|end|><|assistant|>", max_tokens: 90 };
  const plain = await client.completions.create(ask);
  assert.equal(plain.object, "text_completion");
  assertAnswer(plain.choices[0].text);
  let text = "";
  for await (const chunk of await client.completions.create({ ...ask, stream: true })) {
    text += chunk.choices[0]?.text ?? "";
  }
  assertAnswer(text);
});

test("responses", async () => {
  const answer = await client.responses.create({ model, input: "Who are you?" });
  assert.equal(answer.object, "response");
  assert.equal(answer.status, "completed");
  assertAnswer(answer.output_text);
  assert.ok(answer.usage.output_tokens > 0);
});

test("responses, streamed", async () => {
  const stream = await client.responses.create({
    model, input: say, instructions: "You are helpful.", stream: true,
  });
  const kinds = [];
  let text = "";
  let last = null;
  for await (const event of stream) {
    kinds.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event;
  }
  assertAnswer(text);
  assert.equal(kinds[0], "response.created");
  assert.equal(last.type, "response.completed");
  assert.equal(last.response.status, "completed");
});

// llama-server's own events lack what the accumulator counts on: output_index, sequence_number
const unmended = { skip: bare };

test("responses, the events of a stream are numbered", unmended, async () => {
  const stream = await client.responses.create({ model, input: say, stream: true });
  const numbers = [];
  for await (const event of stream) numbers.push(event.sequence_number);
  assert.deepEqual(numbers, numbers.map((_, n) => n), "sequence numbers count from 0");
});

test("responses, streamed through the SDK's accumulator", unmended, async () => {
  const runner = client.responses.stream({ model, input: "Who are you?" });
  const whole = await runner.finalResponse();
  assertAnswer(whole.output_text);
});

test("responses with a history of function calls", async () => {
  const answer = await client.responses.create({
    model,
    tools: [{ type: "function", ...openaiTool.function, strict: false }],
    input: [
      { role: "user", content: "How is the weather in Oslo?" },
      { type: "function_call", call_id: "call_1", name: "get_weather",
        arguments: '{"city":"Oslo"}' },
      { type: "function_call_output", call_id: "call_1", output: '{"sky":"clear"}' },
    ],
  });
  assertAnswer(answer.output_text);
});

test("embeddings", { skip: embedModel ? false : "EMBED_MODEL is not set" }, async () => {
  for (const encoding_format of ["float", "base64"]) {
    const answer = await client.embeddings.create({
      model: embedModel, input: ["one", "two"], encoding_format,
    });
    assert.equal(answer.data.length, 2);
    assert.equal(answer.data[1].index, 1);
  }
  const answer = await client.embeddings.create({ model: embedModel, input: "one" });
  assert.ok(answer.data[0].embedding.length > 1);
  assert.equal(typeof answer.data[0].embedding[0], "number");
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
      client.chat.completions.create({ model: "no-such-model", messages: say }),
      (error) => {
        assert.ok(error instanceof OpenAI.NotFoundError, error.constructor.name);
        assert.match(error.message, /no-such-model/);
        return true;
      });
    await assert.rejects(client.models.retrieve("no/such"), OpenAI.NotFoundError);
  });

test("a bad request is an SDK error with a message", async () => {
  await assert.rejects(
    client.chat.completions.create({ model, messages: "not a list" }),
    (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError, error.constructor.name);
      assert.ok(error.message.length > 5);
      return true;
    });
});

test("leaving a stream half way leaves the server usable", async () => {
  const stream = await client.chat.completions.create({ model, messages: say, stream: true });
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta?.content) break;
  }
  const answer = await client.chat.completions.create({ model, messages: say });
  assertAnswer(answer.choices[0].message.content);
});
