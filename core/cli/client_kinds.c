/* What each client wants to be told, as its documentation and its requests have it. */
#include "core/cli/client_priv.h"

#define CLAUDE_ENV(quote, between, end)                                                                               \
    quote "ANTHROPIC_BASE_URL" quote between quote "{url}" quote end quote "ANTHROPIC_AUTH_TOKEN" quote between quote \
          "{key}" quote end quote "ANTHROPIC_MODEL" quote between quote "{model}" quote end quote                     \
          "ANTHROPIC_DEFAULT_HAIKU_MODEL" quote between quote "{model}" quote end quote                               \
          "CLAUDE_CODE_MAX_CONTEXT_TOKENS" quote between quote "{context}" quote end quote                            \
          "CLAUDE_CODE_ATTRIBUTION_HEADER" quote between quote "0" quote

const struct pm_client_kind pm_client_kinds[] = {
    {"claude-code",
     "Claude Code",
     CLAUDE_ENV("", "=", "\n"),
     "Start:  claude\n"
     "The attribution header differs in each session and would spoil the cache of prompts: it is switched off.\n",
     {{".claude/settings.json", PM_FILE_JSON, "{\"env\":{" CLAUDE_ENV("\"", ":", ",") "}}"}}},
    {"codex",
     "Codex",
     "POINTSMAN_API_KEY={key}",
     "Start:  codex --profile pointsman   (with POINTSMAN_API_KEY in the environment)\n",
     {{".codex/pointsman.config.toml", PM_FILE_OWN,
       "model_provider = \"pointsman\"\nmodel = \"{model}\"\nmodel_context_window = {context}\n\n"
       "[model_providers.pointsman]\nname = \"Pointsman\"\nbase_url = \"{v1}\"\nwire_api = \"responses\"\n"
       "env_key = \"POINTSMAN_API_KEY\"\n"}}},
    {"aider",
     "aider",
     "OPENAI_API_BASE={v1}\nOPENAI_API_KEY={key}",
     "Start:  aider   (without the files: aider --model openai/{model})\n",
     {{".aider.conf.yml", PM_FILE_BLOCK,
       "openai-api-base: {v1}\nopenai-api-key: {key}\nmodel: openai/{model}\nweak-model: openai/{model}\n"},
      {".aider.model.metadata.json", PM_FILE_JSON,
       "{\"openai/{model}\":{\"max_input_tokens\":{context},\"max_tokens\":{context},"
       "\"input_cost_per_token\":0,\"output_cost_per_token\":0,\"litellm_provider\":\"openai\",\"mode\":\"chat\"}}"}}},
    {"continue",
     "Continue",
     "",
     "The editor takes the file up by itself; the command line:  cn --config ~/.continue/config.yaml\n",
     {{".continue/config.yaml", PM_FILE_WHOLE,
       "name: Pointsman\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: Pointsman\n    provider: openai\n"
       "    model: {model}\n    apiBase: {v1}\n    apiKey: {key}\n    roles: [chat, edit, apply]\n"
       "    capabilities: [tool_use]\n    defaultCompletionOptions:\n      contextLength: {context}\n"}}},
    {"opencode",
     "opencode",
     "",
     "Start:  opencode\n",
     {{".config/opencode/opencode.json", PM_FILE_JSON,
       "{\"model\":\"pointsman/{model}\",\"provider\":{\"pointsman\":{\"npm\":\"@ai-sdk/openai-compatible\","
       "\"name\":\"Pointsman\",\"options\":{\"baseURL\":\"{v1}\",\"apiKey\":\"{key}\"},\"models\":{\"{model}\":{"
       "\"name\":\"{model}\",\"tool_call\":true,\"limit\":{\"context\":{context},\"output\":{output}}}}}}}"}}},
    {"openclaw",
     "OpenClaw",
     "",
     "Start:  openclaw agent --local --agent main --message \"hello\"\n",
     {{".openclaw/openclaw.json", PM_FILE_JSON,
       "{\"models\":{\"providers\":{\"pointsman\":{\"baseUrl\":\"{v1}\",\"apiKey\":\"{key}\","
       "\"api\":\"openai-completions\",\"models\":[{\"id\":\"{model}\",\"name\":\"{model}\",\"reasoning\":false,"
       "\"input\":[\"text\"],\"cost\":{\"input\":0,\"output\":0,\"cacheRead\":0,\"cacheWrite\":0},"
       "\"contextWindow\":{context},\"maxTokens\":{output}}]}}},"
       "\"agents\":{\"defaults\":{\"model\":{\"primary\":\"pointsman/{model}\"}}}}"}}},
    {"qwen-code",
     "Qwen Code",
     "OPENAI_BASE_URL={v1}\nOPENAI_API_KEY={key}\nOPENAI_MODEL={model}",
     "Start:  qwen   (without the files: qwen --auth-type openai)\n"
     "It gives up on an answer that is silent for 120 s; the gateway sends signs of life before that.\n",
     {{".qwen/.env", PM_FILE_BLOCK, "OPENAI_BASE_URL={v1}\nOPENAI_API_KEY={key}\nOPENAI_MODEL={model}\n"},
      {".qwen/settings.json", PM_FILE_JSON, "{\"security\":{\"auth\":{\"selectedType\":\"openai\"}}}"}}},
    {"openai-sdk",
     "OpenAI's SDKs",
     "OPENAI_BASE_URL={v1}\nOPENAI_API_KEY={key}",
     "Python:  client = OpenAI(base_url=\"{v1}\", api_key=\"{key}\")\n"
     "         client.chat.completions.create(model=\"{model}\", ...)\n"
     "Node:    new OpenAI({ baseURL: \"{v1}\", apiKey: \"{key}\" })\n",
     {{0}}},
    {"anthropic-sdk",
     "Anthropic's SDKs",
     "ANTHROPIC_BASE_URL={url}\nANTHROPIC_API_KEY={key}",
     "Python:  client = Anthropic(base_url=\"{url}\", api_key=\"{key}\")\n"
     "         client.messages.create(model=\"{model}\", max_tokens=1024, ...)\n"
     "Node:    new Anthropic({ baseURL: \"{url}\", apiKey: \"{key}\" })\n",
     {{0}}},
};

const size_t pm_client_n_kinds = sizeof(pm_client_kinds) / sizeof(*pm_client_kinds);
