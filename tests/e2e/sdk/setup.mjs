// What every SDK test is told by its environment:
//   BASE_URL     root of the gateway, without /v1
//   MODEL        a chat model behind it
//   EXPECT       a text that its answers hold
//   EMBED_MODEL  a model that makes embeddings; those tests are skipped without one
//   API_KEY      the credential, if the gateway wants one
//   LISTED       an id that the list of models must hold
//   BARE         set when it is a bare llama-server, to learn what a gateway must mend:
//                it takes any model name, has its own errors and numbers no events
import assert from "node:assert/strict";

export const base = process.env.BASE_URL ?? "http://127.0.0.1:8484";
export const model = process.env.MODEL ?? "demo-chat";
export const expected = process.env.EXPECT ?? "I am demo-chat";
export const embedModel = process.env.EMBED_MODEL ?? "";
export const apiKey = process.env.API_KEY ?? "sk-test-local";

export const bare = process.env.BARE ? "not of a bare llama-server" : false;

export const say = [{ role: "user", content: "Who are you?" }];

const schema = {
  type: "object",
  properties: { city: { type: "string", description: "The city" } },
  required: ["city"],
};

export const openaiTool = {
  type: "function",
  function: { name: "get_weather", description: "The weather of a city", parameters: schema },
};

export const anthropicTool = {
  name: "get_weather",
  description: "The weather of a city",
  input_schema: schema,
};

export function assertAnswer(text) {
  assert.equal(typeof text, "string");
  assert.ok(text.includes(expected), `the answer names its model: ${text.slice(0, 200)}`);
}
