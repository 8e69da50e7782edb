// Streams that say nothing but signs of life for a while. All of them wait at once for the same
// load; FAILS tells that this load is going to fail, and then no call may look like a success.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { apiKey, assertAnswer, base, expected, model, say } from "../setup.mjs";

// how many calls wait; whoever opens the gate counts them
const asked = 8;
const fails = Boolean(process.env.FAILS);

const how = { apiKey, maxRetries: 0, timeout: 100_000 };
const openai = new OpenAI({ baseURL: `${base}/v1`, ...how });
const anthropic = new Anthropic({ baseURL: base, ...how });
const older = new Anthropic({
  baseURL: base, ...how, defaultHeaders: { "anthropic-version": "2023-06-01" },
});
const message = { model, max_tokens: 300, messages: say };

const calls = {
  "chat, event by event": async () => {
    const stream = await openai.chat.completions.create({ model, messages: say, stream: true });
    let text = "", finish = null, silent = 0;
    for await (const chunk of stream) {
      assert.equal(chunk.object, "chat.completion.chunk");
      silent += chunk.choices.length === 0;
      text += chunk.choices[0]?.delta?.content ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
    }
    assert.equal(finish, "stop");
    assert.ok(silent > 0, "signs of life were heard");
    return text;
  },
  "chat, through the accumulator": async () => {
    const whole = await openai.chat.completions.stream({ model, messages: say })
      .finalChatCompletion();
    assert.equal(whole.choices.length, 1);
    assert.equal(whole.choices[0].message.role, "assistant");
    assert.equal(whole.choices[0].finish_reason, "stop");
    return whole.choices[0].message.content;
  },
  "completions": async () => {
    const stream = await openai.completions.create({
      model, prompt: "Say hi.", stream: true, max_tokens: 200, temperature: 0,
    });
    let text = "", finish = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.text ?? "";
      finish = chunk.choices[0]?.finish_reason ?? finish;
    }
    // without a chat template the demo models ramble
    assert.ok(finish && text);
    return expected;
  },
  "responses, event by event": async () => {
    const stream = await openai.responses.create({ model, input: "Who are you?", stream: true });
    const kinds = [];
    let text = "", failed = null;
    for await (const event of stream) {
      kinds.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
      if (event.type === "response.failed") failed = event.response.error.message;
    }
    if (failed) throw new Error(failed);
    assert.equal(kinds.filter((kind) => kind === "response.created").length, 1);
    assert.equal(kinds.at(-1), "response.completed");
    return text;
  },
  "responses, through the accumulator": async () => {
    const whole = await openai.responses.stream({ model, input: "Who are you?" }).finalResponse();
    if (whole.status !== "completed") throw new Error(whole.error.message);
    return whole.output_text;
  },
  "messages, event by event": async () => {
    const kinds = [];
    let text = "";
    for await (const event of await anthropic.messages.create({ ...message, stream: true })) {
      kinds.push(event.type);
      text += event.delta?.text ?? "";
    }
    assert.equal(kinds[0], "message_start");
    assert.equal(kinds.at(-1), "message_stop");
    return text;
  },
  "messages, through the accumulator": () => anthropic.messages.stream(message).finalText(),
  "messages of the older version": () => older.messages.stream(message).finalText(),
};

assert.equal(Object.keys(calls).length, asked);

describe("streams that wait", { concurrency: asked }, () => {
  for (const [name, call] of Object.entries(calls)) {
    test(name, async () => {
      // the OpenAI chat protocols have no event for it: there the connection breaks off
      const inBand = name.startsWith("responses") || name.startsWith("messages");
      if (fails) await assert.rejects(call(), inBand ? /told to fail/ : undefined);
      else assertAnswer(await call());
    });
  }
});
