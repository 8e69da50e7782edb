// A conversation with tools, through the SDK of one protocol, with a cloud of the same or another.
// The cloud calls look_up twice at once, and answers the results with what it heard, as JSON.
//   UPSTREAM  the protocol of the cloud: chat, responses or messages
//   SPARE     how many targets to-UPSTREAM-0, -1 ... there are for requests that fail
import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { apiKey, base } from "../setup.mjs";

const upstream = process.env.UPSTREAM ?? "chat";
const model = `to-${upstream}`;
const how = { apiKey, maxRetries: 0, timeout: 30_000 };
const openai = new OpenAI({ baseURL: `${base}/v1`, ...how });
const versions = ["2023-06-01", "2026-10-21"];
const anthropics = versions.map((version) => [version, new Anthropic({
  baseURL: base, ...how, defaultHeaders: { "anthropic-version": version } })]);

const SAID = "I look at both — “now”, \u{1f680}.";
const THOUGHT = "Two places, I see: “one” … then\nthe other \u{1f914}.";
const INPUTS = [{ path: "/tmp/é中 \"q\" \\ x\u{1f600}", depth: 3 },
                { path: "ünïcode/☃", depth: -1 }];
const NAMED = "cloud-named-itself-2026";
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAA"
  + "AElFTkSuQmCC";
const PIXEL_URL = `data:image/png;base64,${PIXEL}`;
const SYSTEM = "You look things up.";
const WISH = "Please look at both, Plan: tools.";
const GONE = "no such place";

const parameters = {
  type: "object",
  properties: { path: { type: "string" }, depth: { type: "integer" } },
  required: ["path", "depth"],
  additionalProperties: false,
};
const about = { name: "look_up", description: "Looks somewhere." };
const chatTool = { type: "function", function: { ...about, parameters } };
const responsesTool = { type: "function", ...about, parameters, strict: true };
const messagesTool = { ...about, input_schema: parameters };

let used = -1;
/** A target that no test has failed on: what failed before may close it for a while. */
function spare() {
  used += 1;
  assert.ok(used < Number(process.env.SPARE ?? 100), "spare targets");
  return `to-${upstream}-${used}`;
}

/** What the tool says of a place: the second one is not there. */
function lookUp({ depth }) {
  return depth > 0 ? `found at ${depth}` : null;
}

function squeeze(text) {
  return text.replace(/\s/g, "");
}

/** The last answer tells what reached the cloud. Returns that. */
function checkHeard(text, { images = 0, error = /^Error:nosuchplace$/ } = {}) {
  const heard = JSON.parse(text);
  assert.equal(heard.system, squeeze(SYSTEM));
  assert.deepEqual(heard.tools, ["look_up"]);
  assert.deepEqual(heard.calls, INPUTS.map((input) => ["look_up", input]));
  assert.ok(heard.matched, "each result stands for its call, in order");
  assert.equal(heard.results.length, 2);
  assert.ok(heard.results[0].startsWith("foundat3"), heard.results[0]);
  assert.match(heard.results[1], error);
  assert.equal(heard.images, images);
  return heard;
}

function checkDifferent(ids) {
  assert.equal(new Set(ids).size, 2);
  for (const id of ids) assert.ok(id.length > 0 && id.length <= 40, id);
}

// chat

function chatAsk(messages, more = {}) {
  return { model, messages, tools: [chatTool], max_completion_tokens: 3000, ...more };
}

function chatFirst(wish = WISH) {
  return [{ role: "system", content: SYSTEM }, { role: "user", content: wish }];
}

function checkChatUsage(usage) {
  assert.equal(usage.prompt_tokens, 107);
  assert.equal(usage.prompt_tokens_details.cached_tokens, 7);
  assert.equal(usage.completion_tokens, 50);
  assert.equal(usage.total_tokens, 157);
}

function chatResults(message) {
  return message.tool_calls.map((call) => ({
    role: "tool", tool_call_id: call.id,
    content: lookUp(JSON.parse(call.function.arguments)) ?? `Error: ${GONE}`,
  }));
}

/** The message as it goes back: without what the SDK itself put beside it. */
function chatHistory({ role, content, tool_calls }) {
  return { role, content, tool_calls: tool_calls.map(({ id, type, function: f }) => (
    { id, type, function: { name: f.name, arguments: f.arguments } })) };
}

function checkChatCalls(completion) {
  const { message, finish_reason } = completion.choices[0];
  assert.equal(completion.model, NAMED);
  assert.equal(message.role, "assistant");
  assert.equal(message.content, SAID);
  assert.equal(finish_reason, "tool_calls");
  assert.deepEqual(message.tool_calls.map((call) => call.type), ["function", "function"]);
  assert.deepEqual(message.tool_calls.map((call) => call.function.name),
    ["look_up", "look_up"]);
  assert.deepEqual(message.tool_calls.map((call) => JSON.parse(call.function.arguments)), INPUTS);
  checkDifferent(message.tool_calls.map((call) => call.id));
  checkChatUsage(completion.usage);
}

/** Puts a stream of chunks together by hand, as applications without a helper do. */
async function gatherChat(ask) {
  const stream = await openai.chat.completions.create({
    ...ask, stream: true, stream_options: { include_usage: true } });
  const message = { role: null, content: "", reasoning_content: "", tool_calls: [] };
  let last = null, usage = null, finish_reason = null;
  for await (const chunk of stream) {
    assert.equal(chunk.object, "chat.completion.chunk");
    const [choice] = chunk.choices;
    usage = chunk.usage ?? usage;
    last = chunk;
    if (!choice) continue;
    message.role = choice.delta.role ?? message.role;
    message.content += choice.delta.content ?? "";
    message.reasoning_content += choice.delta.reasoning_content ?? "";
    for (const { index, ...piece } of choice.delta.tool_calls ?? []) {
      if (!message.tool_calls[index]) message.tool_calls[index] = structuredClone(piece);
      else message.tool_calls[index].function.arguments += piece.function.arguments ?? "";
    }
    finish_reason = choice.finish_reason ?? finish_reason;
  }
  return { model: last.model, usage, choices: [{ message, finish_reason }] };
}

const chatWays = {
  "whole": (ask) => openai.chat.completions.create(ask),
  "chunk by chunk": gatherChat,
  "through the accumulator": (ask) => openai.chat.completions.stream({
    ...ask, stream_options: { include_usage: true } }).finalChatCompletion(),
};

for (const [way, answer] of Object.entries(chatWays)) {
  test(`chat to ${upstream}, ${way}: two calls, their results, an answer`, async () => {
    const first = chatFirst();
    const asked = await answer(chatAsk(first, { reasoning_effort: "medium" }));
    checkChatCalls(asked);
    const { message } = asked.choices[0];
    if (way !== "through the accumulator") assert.equal(message.reasoning_content, THOUGHT);
    const told = await answer(chatAsk([...first, chatHistory(message), ...chatResults(message)],
      { reasoning_effort: "medium" }));
    assert.equal(told.choices[0].finish_reason, "stop");
    assert.equal(told.choices[0].message.tool_calls?.length ?? 0, 0);
    checkHeard(told.choices[0].message.content);
    checkChatUsage(told.usage);
  });
}

test(`chat to ${upstream}: an image of what was found, in a message of the user`, async () => {
  const first = chatFirst();
  const { message } = (await openai.chat.completions.create(chatAsk(first))).choices[0];
  const picture = { role: "user", content: [
    { type: "text", text: "This is what it looks like." },
    { type: "image_url", image_url: { url: PIXEL_URL } }] };
  const told = await openai.chat.completions.create(
    chatAsk([...first, chatHistory(message), ...chatResults(message), picture]));
  checkHeard(told.choices[0].message.content, { images: 1 });
});

for (const stream of [false, true]) {
  test(`chat to ${upstream}: runTools, ${stream ? "streamed" : "whole"}`, async () => {
    const places = [];
    const runner = openai.chat.completions.runTools({
      ...chatAsk(chatFirst()), stream,
      tools: [{ type: "function", function: {
        ...about, parameters, parse: JSON.parse,
        function: (input) => {
          places.push(input);
          return lookUp(input) ?? `Error: ${GONE}`;
        } } }],
    });
    checkHeard(await runner.finalContent());
    assert.deepEqual(places, INPUTS);
    assert.equal(runner.allChatCompletions().length, 2);
  });
}

// responses

function responsesAsk(input, more = {}) {
  return { model, input, instructions: SYSTEM, tools: [responsesTool], store: false,
           max_output_tokens: 3000, ...more };
}

function checkResponsesUsage(usage) {
  assert.equal(usage.input_tokens, 107);
  assert.equal(usage.input_tokens_details.cached_tokens, 7);
  assert.equal(usage.output_tokens, 50);
  assert.equal(usage.total_tokens, 157);
}

function kindsOf(response) {
  return response.output.map((item) => item.type);
}

function checkResponsesCalls(response) {
  assert.equal(response.status, "completed");
  assert.equal(response.model, NAMED);
  assert.equal(response.output_text, SAID);
  assert.deepEqual(kindsOf(response), ["reasoning", "message", "function_call",
    "function_call"]);
  const [reasoning] = response.output;
  assert.equal([...reasoning.content ?? [], ...reasoning.summary].map((p) => p.text).join(""),
    THOUGHT);
  const calls = response.output.filter((item) => item.type === "function_call");
  assert.deepEqual(calls.map((call) => call.name), ["look_up", "look_up"]);
  assert.deepEqual(calls.map((call) => JSON.parse(call.arguments)), INPUTS);
  checkDifferent(calls.map((call) => call.call_id));
  checkResponsesUsage(response.usage);
}

/** output[] as the next input. The accumulator's parsed arguments go back too where the gateway
    leaves out what is not of the protocol; this API itself refuses them. */
function responsesHistory(output) {
  if (upstream !== "responses") return output;
  return output.map(({ parsed_arguments, ...item }) => (item.type !== "message" ? item : {
    ...item, content: item.content.map(({ parsed, ...part }) => part) }));
}

function responsesResults(output) {
  return output.filter((item) => item.type === "function_call").map((call) => {
    const found = lookUp(JSON.parse(call.arguments));
    return { type: "function_call_output", call_id: call.call_id,
             output: found === null ? `Error: ${GONE}` : [
               { type: "input_text", text: found },
               { type: "input_image", image_url: PIXEL_URL, detail: "auto" }] };
  });
}

/** The response of the last event; what the deltas add up to must be what it says. */
async function gatherResponse(ask) {
  const pieces = {};
  let number = 0, last = null;
  for await (const event of await openai.responses.create({ ...ask, stream: true })) {
    assert.equal(event.sequence_number, number);
    number += 1;
    if (event.type.endsWith(".delta")) {
      pieces[event.output_index] = (pieces[event.output_index] ?? "") + event.delta;
    }
    last = event;
  }
  assert.equal(last.type, `response.${last.response.status}`);
  const { response } = last;
  response.output.forEach((item, n) => {
    const whole = item.arguments
      ?? [...item.content ?? [], ...item.summary ?? []].map((part) => part.text).join("");
    assert.equal(pieces[n] ?? "", whole, `item ${n}`);
  });
  const texts = response.output.filter((item) => item.type === "message");
  return { ...response, output_text: texts.map((item) => item.content[0].text).join("") };
}

const responsesWays = {
  "whole": (ask) => openai.responses.create(ask),
  "event by event": gatherResponse,
  "through the accumulator": (ask) => openai.responses.stream(ask).finalResponse(),
};

for (const [way, answer] of Object.entries(responsesWays)) {
  test(`responses to ${upstream}, ${way}: two calls, their results, an answer`, async () => {
    const first = [{ role: "user", content: WISH }];
    const more = { reasoning: { effort: "medium" }, include: ["reasoning.encrypted_content"] };
    const asked = await answer(responsesAsk(first, more));
    checkResponsesCalls(asked);
    const told = await answer(responsesAsk([...first, ...responsesHistory(asked.output),
      ...responsesResults(asked.output)], more));
    assert.equal(told.status, "completed");
    assert.deepEqual(kindsOf(told), ["reasoning", "message"]);
    checkHeard(told.output_text, { images: 1 });
    checkResponsesUsage(told.usage);
  });
}

// messages

function messagesAsk(messages, more = {}) {
  return { model, system: SYSTEM, messages, tools: [messagesTool], max_tokens: 3000, ...more };
}

function checkMessagesUsage(usage) {
  assert.equal(usage.input_tokens, 100);
  assert.equal(usage.cache_read_input_tokens, 7);
  assert.equal(usage.output_tokens, 50);
}

function checkMessagesCalls(message) {
  assert.equal(message.stop_reason, "tool_use");
  assert.equal(message.model, NAMED);
  assert.deepEqual(message.content.map((block) => block.type),
    ["thinking", "text", "tool_use", "tool_use"]);
  const [thinking, text, ...calls] = message.content;
  assert.equal(thinking.thinking, THOUGHT);
  assert.equal(thinking.signature.length > 0, upstream === "messages");
  assert.equal(text.text, SAID);
  assert.deepEqual(calls.map((call) => call.name), ["look_up", "look_up"]);
  assert.deepEqual(calls.map((call) => call.input), INPUTS);
  checkDifferent(calls.map((call) => call.id));
  checkMessagesUsage(message.usage);
}

function messagesResults(content) {
  return { role: "user", content: content.filter((b) => b.type === "tool_use").map((call) => {
    const found = lookUp(call.input);
    const result = { type: "tool_result", tool_use_id: call.id };
    if (found === null) return { ...result, is_error: true, content: GONE };
    return { ...result, content: [
      { type: "text", text: found },
      { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } }] };
  }) };
}

// where is_error arrives as such, the text stays as it is
const messagesError = upstream === "messages" ? /^nosuchplace$/ : /^Error:nosuchplace$/;
// the runner says Error: itself, before it is said again
const runnerError = /^(Error:){1,2}nosuchplace$/;

/** Puts a message together by hand, as applications without a helper do. */
async function gatherMessage(client, ask) {
  let message = null, open = null, json = "";
  for await (const event of await client.messages.create({ ...ask, stream: true })) {
    if (event.type === "message_start") {
      message = structuredClone(event.message);
      assert.ok(message.usage.input_tokens > 0);
      assert.deepEqual(message.content, []);
    } else if (event.type === "content_block_start") {
      assert.equal(open, null, "one block is open at a time");
      assert.equal(event.index, message.content.length);
      open = structuredClone(event.content_block);
      json = "";
      message.content.push(open);
    } else if (event.type === "content_block_delta") {
      const { type, ...delta } = event.delta;
      if (type === "input_json_delta") json += delta.partial_json;
      else if (type === "signature_delta") open.signature = delta.signature;
      else for (const [key, piece] of Object.entries(delta)) open[key] += piece;
    } else if (event.type === "content_block_stop") {
      if (open.type === "tool_use") open.input = JSON.parse(json || "{}");
      open = null;
    } else if (event.type === "message_delta") {
      Object.assign(message, event.delta);
      Object.assign(message.usage, event.usage);
    }
  }
  return message;
}

const messagesWays = {
  "whole": (client, ask) => client.messages.create(ask),
  "event by event": gatherMessage,
  "through the accumulator": (client, ask) => client.messages.stream(ask).finalMessage(),
};

/** The tool as the runner calls it; places gathers what it was asked for. */
function runnable(places) {
  return { ...messagesTool, type: "custom", parse: (input) => input, run: (input) => {
    places.push(input);
    const found = lookUp(input);
    if (found === null) throw new Error(GONE);
    return [{ type: "text", text: found },
            { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } }];
  } };
}

for (const [version, client] of anthropics) {
  for (const [way, answer] of Object.entries(messagesWays)) {
    test(`messages ${version} to ${upstream}, ${way}: two calls, results, answer`, async () => {
      const first = [{ role: "user", content: WISH }];
      const thinking = { type: "enabled", budget_tokens: 1024 };
      const asked = await answer(client, messagesAsk(first, { thinking }));
      checkMessagesCalls(asked);
      const told = await answer(client, messagesAsk([...first,
        { role: "assistant", content: asked.content }, messagesResults(asked.content)],
        { thinking }));
      assert.equal(told.stop_reason, "end_turn");
      assert.deepEqual(told.content.map((block) => block.type), ["thinking", "text"]);
      checkHeard(told.content[1].text, { images: 1, error: messagesError });
      checkMessagesUsage(told.usage);
    });
  }

  for (const stream of [false, true]) {
    for (const threads of [false, true]) {
      const name = `messages ${version} to ${upstream}: toolRunner, `
        + `${stream ? "streamed" : "whole"}, ${threads ? "with" : "without"} a thread`;
      test(name, async () => {
        const places = [];
        const last = await client.beta.messages.toolRunner({
          ...messagesAsk([{ role: "user", content: WISH }]), stream, max_iterations: 4,
          tools: [runnable(places)],
          // by itself the runner wants the server to keep the conversation, and sends all of it
          // again only when it is told that there are no threads
          ...(threads ? {} : { thread: false }),
        }).runUntilDone();
        assert.deepEqual(places, INPUTS);
        assert.equal(last.stop_reason, "end_turn");
        const text = last.content.find((block) => block.type === "text").text;
        checkHeard(text, { images: 1, error: runnerError });
      });
    }
  }
}

// how answers end, and what goes wrong

const endings = {
  "chat, whole": async (wish) => (await openai.chat.completions.create(
    chatAsk(chatFirst(wish)))).choices[0].finish_reason,
  "chat, through the accumulator": async (wish) => (await gatherChat(
    chatAsk(chatFirst(wish)))).choices[0].finish_reason,
  "responses, whole": async (wish) => (await openai.responses.create(
    responsesAsk(wish))).incomplete_details.reason,
  "responses, through the accumulator": async (wish) => (await openai.responses.stream(
    responsesAsk(wish)).finalResponse()).incomplete_details.reason,
};
const asks = {
  "chat, whole": (target, wish) => openai.chat.completions.create(
    { ...chatAsk(chatFirst(wish)), model: target }),
  "chat, streamed": (target, wish) => openai.chat.completions.stream(
    { ...chatAsk(chatFirst(wish)), model: target }).finalChatCompletion(),
  "responses, whole": (target, wish) => openai.responses.create(
    { ...responsesAsk(wish), model: target }),
  "responses, streamed": (target, wish) => openai.responses.stream(
    { ...responsesAsk(wish), model: target }).finalResponse(),
};
for (const [version, client] of anthropics) {
  const ask = (wish) => messagesAsk([{ role: "user", content: wish }]);
  endings[`messages ${version}, whole`] = async (wish) =>
    (await client.messages.create(ask(wish))).stop_reason;
  endings[`messages ${version}, through the accumulator`] = async (wish) =>
    (await client.messages.stream(ask(wish)).finalMessage()).stop_reason;
  asks[`messages ${version}, whole`] = (target, wish) =>
    client.messages.create({ ...ask(wish), model: target });
  asks[`messages ${version}, streamed`] = (target, wish) =>
    client.messages.stream({ ...ask(wish), model: target }).finalMessage();
}

const words = {
  length: { chat: "length", responses: "max_output_tokens", messages: "max_tokens" },
  filter: { chat: "content_filter", responses: "content_filter", messages: "refusal" },
};
for (const [name, end] of Object.entries(endings)) {
  test(`${name}, to ${upstream}: what ended it`, async () => {
    for (const [plan, word] of Object.entries(words)) {
      assert.equal(await end(`Plan: ${plan}.`), word[name.split(/[ ,]/)[0]]);
    }
  });
}

// a key that the cloud refuses is the gateway's, and no fault of the caller
const refusals = {
  400: { kind: "BadRequestError", status: 400, type: "invalid_request_error" },
  401: { kind: "InternalServerError", status: 502, type: "api_error" },
  429: { kind: "RateLimitError", status: 429, type: "rate_limit_error" },
};
for (const [name, ask] of Object.entries(asks)) {
  for (const [said, { kind, status, type }] of Object.entries(refusals)) {
    test(`${name}, to ${upstream}: ${said} is a ${kind}`, async () => {
      const sdk = name.startsWith("messages") ? Anthropic : OpenAI;
      await assert.rejects(ask(spare(), `Plan: ${said}.`), (error) => {
        assert.ok(error instanceof sdk[kind], `${error.constructor.name}: ${error.message}`);
        assert.equal(error.status, status);
        assert.match(error.message, said === "401" ? /key \(401\)/ : /the cloud says/);
        if (sdk === Anthropic) assert.equal(error.error.error.type, type);
        if (said === "429") assert.equal(error.headers.get("retry-after"), "7");
        return true;
      });
    });
  }
}
