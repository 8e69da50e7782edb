// A policy in C++: the header is all that it needs.
#include <cstdint>

#include "pointsman.h"

namespace
{

struct Conf {
    std::int64_t level;
};

const struct pmp_option options[] = {
    {PMP_INT, "LEVEL", "3", offsetof(Conf, level), 1, 9, "how much"},
    {},
};

struct State {
    const struct pmp_host *host;
    std::int64_t level;
};

int start(const struct pmp_host *host, const void *conf, void **state)
{
    auto *s = static_cast<State *>(host->alloc(1, sizeof(State)));
    s->host = host;
    s->level = static_cast<const Conf *>(conf)->level;
    *state = s;
    if (s->level == 3)
        return 0;
    host->fail(host, nullptr, "LEVEL is %d", static_cast<int>(s->level));
    return -1;
}

int judge(void *state, const struct pmp_request *req, struct pmp_verdict *v)
{
    auto *s = static_cast<State *>(state);
    s->host->complexity(v, s->host->number(req, PMP_NUM_TOOLS) ? 1.0 : 0.0);
    return 0;
}

void stop(void *state)
{
    auto *s = static_cast<State *>(state);
    s->host->free(s);
}

// Member by member: C++ of before 2020 knows no other way that a longer structure of a later header leaves whole.
constexpr struct pmp_policy describe()
{
    struct pmp_policy p{};
    p.abi = PMP_ABI;
    p.size = sizeof(p);
    p.name = "plain";
    p.summary = "is written in C++";
    p.options = options;
    p.conf_size = sizeof(Conf);
    p.start = start;
    p.judge = judge;
    p.stop = stop;
    return p;
}

} // namespace

extern "C" {
PMP_EXPORT extern const struct pmp_policy pmp_policy;
const struct pmp_policy pmp_policy = describe();
}
