"""The command lines of the agents: where each is told the gateway, the model and its question.

A client is a function of (url, model, home, question, thinks) that writes what the agent wants
to find in its fresh home folder, and returns its command line and its environment. `thinks` says
whether the agent is to know its model as one that reasons.
"""

import json

CONTEXT = 65536
KEY = "sk-test-local"
CLIENTS = {}


def client(name, speaks):
    """Under which name a client runs, and in which protocol it asks."""
    def keep(make):
        CLIENTS[name] = (speaks, make)
        return make
    return keep


@client("claude", "messages")
def claude(url, model, home, question, thinks):
    env = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY,
           "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1",
           "DISABLE_TELEMETRY": "1", "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
           "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(CONTEXT)}
    return ["claude", "-p", question, "--model", model, "--allowedTools", "Bash"], env


@client("claude-first", "messages")
def claude_first(url, model, home, question, thinks):
    """With the block about billing that it sends by itself, and without its betas."""
    argv, env = claude(url, model, home, question, thinks)
    env.pop("CLAUDE_CODE_ATTRIBUTION_HEADER")
    env["CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS"] = "1"
    return argv, env


@client("codex", "responses")
def codex(url, model, home, question, thinks):
    folder = home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(
        f'model = "{model}"\nmodel_provider = "gw"\nmodel_context_window = {CONTEXT}\n'
        + ('model_reasoning_effort = "medium"\n' if thinks else "")
        + f'[model_providers.gw]\nname = "gw"\nbase_url = "{url}/v1"\nenv_key = "GW_KEY"\n'
        'wire_api = "responses"\n')
    return ["codex", "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access",
            question], {"GW_KEY": KEY}


@client("codex-builtin", "responses")
def codex_builtin(url, model, home, question, thinks):
    """With the provider that it has by itself, which tries a WebSocket first."""
    folder = home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(f'model = "{model}"\nopenai_base_url = "{url}/v1"\n')
    return ["codex", "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access",
            question], {"CODEX_API_KEY": KEY}


@client("codex-oss", "responses")
def codex_oss(url, model, home, question, thinks):
    """As with a server of this machine: it lists the models, and asks for an empty answer."""
    (home / ".codex").mkdir()
    return ["codex", "exec", "--skip-git-repo-check", "--sandbox", "danger-full-access", "--oss",
            "--local-provider", "lmstudio", "-m", model, question], {
                "CODEX_OSS_BASE_URL": f"{url}/v1"}


@client("qwen", "chat")
def qwen(url, model, home, question, thinks):
    env = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": KEY, "OPENAI_MODEL": model}
    return ["qwen", "-p", question, "--auth-type", "openai", "--yolo"], env


@client("qwen-messages", "messages")
def qwen_messages(url, model, home, question, thinks):
    env = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_MODEL": model}
    return ["qwen", "-p", question, "--auth-type", "anthropic", "--yolo"], env


def _pi(url, model, home, question, thinks, api):
    conf = {"providers": {"gw": {
        "baseUrl": url if api.startswith("anthropic") else f"{url}/v1", "api": api,
        "apiKey": KEY, "models": [{
            "id": model, "name": model, "reasoning": thinks, "input": ["text"],
            "contextWindow": CONTEXT, "maxTokens": 4000,
            "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}}]}}}
    folder = home / ".pi" / "agent"
    folder.mkdir(parents=True)
    (folder / "models.json").write_text(json.dumps(conf))
    env = {"PI_OFFLINE": "1", "PI_SKIP_VERSION_CHECK": "1"}
    level = ["--thinking", "medium"] if thinks else []
    return ["pi", "-p", question, "--provider", "gw", "--model", model, *level], env


@client("pi", "chat")
def pi(*how):
    return _pi(*how, "openai-completions")


@client("pi-responses", "responses")
def pi_responses(*how):
    return _pi(*how, "openai-responses")


@client("pi-messages", "messages")
def pi_messages(*how):
    return _pi(*how, "anthropic-messages")


def _opencode(url, model, home, question, thinks, package):
    conf = {"provider": {"gw": {"npm": package, "name": "gw", "options": {
        "baseURL": f"{url}/v1", "apiKey": KEY}, "models": {model: {
            "name": model, "reasoning": thinks, "tool_call": True,
            "limit": {"context": CONTEXT, "output": 4000}}}}},
        "model": f"gw/{model}", "permission": {"bash": "allow"}}
    folder = home / ".config" / "opencode"
    folder.mkdir(parents=True)
    (folder / "opencode.json").write_text(json.dumps(conf))
    env = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
    return ["opencode", "run", question], env


@client("opencode", "chat")
def opencode(*how):
    return _opencode(*how, "@ai-sdk/openai-compatible")


@client("opencode-responses", "responses")
def opencode_responses(*how):
    return _opencode(*how, "@ai-sdk/openai")


@client("opencode-messages", "messages")
def opencode_messages(*how):
    return _opencode(*how, "@ai-sdk/anthropic")


@client("cline", "chat")
def cline(url, model, home, question, thinks):
    # its settings are what `cline auth` writes
    folder = home / ".cline" / "data" / "settings"
    folder.mkdir(parents=True)
    (folder / "providers.json").write_text(json.dumps({
        "version": 1, "lastUsedProvider": "openai-compatible", "providers": {
            "openai-compatible": {"settings": {
                "provider": "openai-compatible", "apiKey": KEY, "model": model,
                "baseUrl": f"{url}/v1"},
                "updatedAt": "2026-01-01T00:00:00.000Z", "tokenSource": "manual"}}}))
    env = {"CLINE_TELEMETRY_DISABLED": "1"}
    return ["cline", "-P", "openai-compatible", "-m", model, question], env
