#include "core/learn/text.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* --- word lists: what a few hundred words have in common, in the languages that are spoken most --- */

enum { L_CODE, L_MATH, L_TRANSFORM, L_CREATIVE, L_ASK, L_WRITE, L_YOU, L_I, L_DO, L_RELATION, L_NUMBER, LISTS };

/* The last two are for the effort only. */
enum { CONCEPTS = L_RELATION };

static const char *const lists[LISTS] = {
    [L_CODE] =
        "algorithm api array bash bug c++ class code codigo código code compile compiler cpp css database debug "
        "django docker error exception excel fonction función funcion function funktion git golang html java "
        "javascript json js kotlin kubernetes linux loop method node npm numpy pandas php programa programm "
        "python query react regex ruby rust script server sql stack string swift typescript xml код функция "
        "функцию скрипт программа программу 代 码 函 数 コ ド",
    [L_MATH] =
        "area berechne calcula calculate calcular calcule calculer compute cost derivative each equation integer "
        "integers integral löse matrix percent polynomial prime probability prove puzzle ratio resolver resuelve "
        "résoudre solve sum theorem total triangle vector angle докажи вычисли вычислить найдите реши решить 方 "
        "求 程 算 解 計 计",
    [L_TRANSFORM] =
        "article below bullet classify condense convert correct corrige corriger email extract fasse "
        "following grammar headline keywords paragraph paraphrase passage proofread rephrase resume resumir "
        "rewrite résume résumer résumez sentence sentiment shorten summarise summarize summary text tldr "
        "traduce traducir traduire traduis translate translation zusammen zusammenfassung übersetze исправь "
        "перевод переведи перескажи 总 摘 翻 要 訳 译 结",
    [L_CREATIVE] =
        "act blog canción character conte cuento dialogue essay fantasy fiction gedicht geschichte haiku "
        "histoire historia imagine joke limerick lyrics narrator novel persona poem poema poème pretend rap "
        "roleplay scene screenplay slogan song sonnet speech story tagline tale историю напиши рассказ сказка "
        "сказку стих стихотворение 事 小 故 物 語 詩 诗 说",
    [L_ASK] =
        "advice benefits best comment compare cuál cómo describe difference erkläre explain how pourquoi quand que "
        "quel quelle quién qué qu recommend should tips wann warum was wer what when where which who whom why wie "
        "wo où por где как когда кто объясни почему что 为 什 何 如 谁 么",
    [L_WRITE] = "compose crea create draft erstelle escreva escribe generate give make rédige schreibe scrivi write "
                "écrire écris сделай создай 写",
    [L_YOU] = "you your",
    [L_I] = "i im ive me my",
    [L_DO] = "build configure deploy fix implement install optimize refactor run",
    [L_RELATION] = "after additional another average before double every extra fewer fraction half if initially less "
                   "more quarter remaining rest than then third times triple twice thrice",
    [L_NUMBER] = "one two three four five six seven eight nine ten eleven twelve thirteen fifteen twenty thirty forty "
                 "fifty sixty hundred thousand million dozen",
};

/* --- marks: what code, formulas, choices and quoted texts have in them --- */

static const char *const marks[] = {
    "",      "```",   "{",      ";\n",          "==",     "()",    "def ",     "import ", "</",    "#include",
    "=>",    "->",    "self.",  "return ",      "\n    ", "://",   "SELECT ",  "\"\"\"",  "[0]",   " = ",
    "//",    "$",     "\\frac", "\\",           "^",      " + ",   "%",        "x^2",     "\\(",   "\\[",
    "\nA. ", "\nB. ", "(A)",    "A)",           "\nA) ",  "\n- ",  "\n1. ",    "\"",      "Text:", "***",
    ":\n",   ": \"",  "|",      "Q:",           "\t",     "!",     "...",      "--",      "[",     "\xe2\x80\x9c",
    "_(",    ".py",   "Error",  "\xe2\x82\xac", "<",      ":\n\n", "You are ", "I ",
};

enum { MARKS = sizeof(marks) / sizeof(*marks) };

/* --- hashing --- */

enum kind { K_WORD = 1, K_PAIR, K_START, K_LINE, K_SHAPE, K_CONCEPT, K_CHARS, K_GRAM };

/* Two multiplications that do not wait for one another, and a third for both: the high bits, which buckets are taken
 * from, hang on all of them. */
static uint64_t join(uint64_t a, uint64_t b)
{
    uint64_t z =
        (a + 0x632be59bd9b4e019ULL) * 0x9e3779b97f4a7c15ULL ^ (b + 0x94d049bb133111ebULL) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 32) * 0xd6e8feb86659fd93ULL;
    return z ^ z >> 32;
}

/* Eight bytes at a time; most words are one step. */
static uint64_t hash_bytes(const char *p, size_t n)
{
    uint64_t h = n, word;
    for (; n > sizeof(word); p += sizeof(word), n -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        h = join(h, word);
    }
    word = 0;
    memcpy(&word, p, n);
    return join(h, word);
}

/* --- characters --- */

/* How many bytes that go on a character follow the first one, at most `most`. */
static size_t following(const unsigned char *p, size_t left, size_t most)
{
    size_t n = 0;
    while (n < most && n + 1 < left && (p[n + 1] & 0xc0) == 0x80)
        n++;
    return n;
}

static uint32_t decode(const char *text, size_t len, size_t *at)
{
    const unsigned char *p = (const unsigned char *)text + *at;
    size_t more = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : p[0] >= 0xc0 ? 1 : 0;
    uint32_t c = p[0] & (0x7fU >> (more + 1));
    if (!more || following(p, len - *at, more) < more) {
        (*at)++;
        return p[0];
    }
    for (size_t i = 1; i <= more; i++)
        c = c << 6 | (p[i] & 63U);
    *at += more + 1;
    return c;
}

static size_t encode(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 63));
    out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

/* Of the scripts that have capitals and are common: Latin with its first extensions, Greek, Cyrillic. */
static uint32_t lower(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    if ((c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9) || (c >= 0x410 && c <= 0x42f))
        return c + 32;
    if (c >= 0x400 && c <= 0x40f)
        return c + 80;
    if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
        return c + (c & 1);
    return c >= 0x100 && c <= 0x177 ? c | 1 : c;
}

static bool is_digit(uint32_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (c >= 0xc0 && c < 0x2000 && c != 0xd7 && c != 0xf7) || (c >= 0xac00 && c <= 0xd7a3);
}

/* Scripts without blanks between words: each sign is one. */
static bool is_sign(uint32_t c)
{
    return (c >= 0x3040 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x9fff) || (c >= 0x20000 && c < 0x30000);
}

/* --- tokens --- */

enum token_kind { T_END, T_WORD, T_NUMBER, T_MARK, T_LINE };

enum { WORD_BYTES = 64 };

struct token {
    enum token_kind kind;
    char text[WORD_BYTES + 4]; /* of a word: lower case */
    size_t len;
    unsigned digits, capitals, letters, foreign; /* foreign: letters beyond ASCII */
};

struct reader {
    const struct pm_text_tables *t;
    const char *text;
    size_t len, at;
};

static bool is_apostrophe(const struct reader *r, size_t at)
{
    bool is = r->text[at] == '\'';
    size_t next = at + 1;
    if (!is && at + 2 < r->len && memcmp(r->text + at, "\xe2\x80\x99", 3) == 0) {
        is = true;
        next = at + 3;
    }
    return is && next < r->len && (r->text[next] | 32) >= 'a' && (r->text[next] | 32) <= 'z';
}

/* The part of a word that is ASCII, which most are. */
static void read_plain(struct reader *r, struct token *t)
{
    const uint8_t *plain = r->t->plain;
    const char *text = r->text;
    size_t at = r->at, len = t->len, end = r->len;
    unsigned digits = 0, capitals = 0, all = 0;
    for (; at < end; at++, all++) {
        unsigned char c = (unsigned char)text[at];
        uint8_t low = c < 0x80 ? plain[c] : 0;
        if (!low)
            break;
        digits += low <= '9';
        capitals += c != low;
        if (len < WORD_BYTES)
            t->text[len++] = (char)low;
    }
    r->at = at;
    t->len = len;
    t->digits += digits;
    t->capitals += capitals;
    t->letters += all - digits;
}

static void read_word(struct reader *r, struct token *t)
{
    for (;;) {
        read_plain(r, t);
        if (r->at >= r->len)
            break;
        size_t at = r->at;
        unsigned char b = (unsigned char)r->text[at];
        if (b < 0x80 && b != '\'')
            break;
        if (t->len && is_apostrophe(r, at)) {
            r->at += b == '\'' ? 1 : 3;
            continue;
        }
        uint32_t c = decode(r->text, r->len, &at);
        if (!is_letter(c))
            break;
        r->at = at;
        t->letters++;
        t->foreign++;
        if (t->len < WORD_BYTES)
            t->len += encode(lower(c), t->text + t->len);
    }
    t->kind = t->letters ? T_WORD : T_NUMBER;
}

static void read_token(struct reader *r, struct token *t)
{
    t->kind = T_END;
    t->len = 0;
    t->digits = t->capitals = t->letters = t->foreign = 0;
    while (r->at < r->len) {
        size_t at = r->at;
        unsigned char b = (unsigned char)r->text[at];
        if (b == ' ') {
            r->at++;
            continue;
        }
        if (b < 0x80 && r->t->plain[b]) {
            read_word(r, t);
            return;
        }
        uint32_t c = decode(r->text, r->len, &at);
        if (is_sign(c)) {
            r->at = at;
            t->kind = T_WORD;
            t->letters = t->foreign = 1;
            t->len = encode(c, t->text);
            return;
        }
        if (is_letter(c)) {
            read_word(r, t);
            return;
        }
        r->at = at;
        if (c == '\t' || c == '\r')
            continue;
        t->kind = c == '\n' ? T_LINE : T_MARK;
        t->len = encode(c, t->text);
        return;
    }
}

/* --- the set of features --- */

enum { PLACES = 2 * PM_FEATURES_MAX, INDEX_BITS = 12 };

static void begin(struct pm_features *f)
{
    f->n = 0;
    if (++f->round < 1U << (32 - INDEX_BITS))
        return;
    memset(f->places, 0, sizeof(f->places));
    f->round = 1;
}

static void add(struct pm_features *f, uint64_t hash, float value)
{
    size_t at = hash % PLACES;
    while (f->places[at] >> INDEX_BITS == f->round) {
        if (f->hash[f->places[at] & (PM_FEATURES_MAX - 1)] == hash)
            return;
        at = (at + 1) % PLACES;
    }
    if (f->n == PM_FEATURES_MAX)
        return;
    f->places[at] = f->round << INDEX_BITS | f->n;
    f->hash[f->n] = hash;
    f->value[f->n++] = value;
}

static void add_kind(struct pm_features *s, enum kind kind, uint64_t what, float value)
{
    add(s, join(kind, what), value);
}

/* --- tables --- */

static uint16_t *place_of(struct pm_text_tables *t, uint64_t hash)
{
    size_t at = hash % 1024;
    while (t->words[at] && t->words[at] != hash)
        at = (at + 1) % 1024;
    t->words[at] = hash;
    t->hints[hash >> 58] |= 1ULL << (hash >> 52 & 63);
    return &t->lists[at];
}

static unsigned lists_of(const struct pm_text_tables *t, uint64_t hash)
{
    size_t at = hash % 1024;
    if (!(t->hints[hash >> 58] >> (hash >> 52 & 63) & 1))
        return 0;
    while (t->words[at] && t->words[at] != hash)
        at = (at + 1) % 1024;
    return t->words[at] ? t->lists[at] : 0;
}

void pm_text_tables_init(struct pm_text_tables *t)
{
    memset(t, 0, sizeof(*t));
    for (unsigned l = 0; l < LISTS; l++) {
        for (const char *p = lists[l]; *p;) {
            size_t n = strcspn(p, " ");
            *place_of(t, hash_bytes(p, n)) |= (uint16_t)(1u << l);
            p += n + (p[n] == ' ');
        }
    }
    for (unsigned c = 0; c < 128; c++)
        t->plain[c] = is_letter(c) || is_digit(c) ? (uint8_t)lower(c) : 0;
    for (unsigned m = 1; m < MARKS; m++) {
        unsigned char b = (unsigned char)marks[m][0];
        t->mark_len[m] = (uint8_t)strlen(marks[m]);
        if (t->mark_len[m] == 1) {
            t->single[b] = (uint8_t)m;
            continue;
        }
        unsigned pair = (unsigned)b << 8 | (unsigned char)marks[m][1];
        t->pairs[pair >> 6] |= 1ULL << (pair & 63);
        t->next[m] = t->first[b];
        t->first[b] = (uint8_t)m;
    }
}

/* --- what the text looks like --- */

struct looks {
    unsigned words, word_bytes, numbers, lines, empty_lines, digits, marks, capitals, letters, foreign, signs,
        questions;
};

/* Sizes count by their powers of two, shares by theirs. */
static unsigned size_class(unsigned n)
{
    unsigned c = 0;
    for (; n; n >>= 1)
        c++;
    return c;
}

static unsigned share_class(unsigned n, unsigned of)
{
    if (!n)
        return 0;
    double share = (double)n / (of ? of : 1);
    unsigned c = 1;
    for (double limit = 0.005; c < 8 && share >= limit; limit *= 2)
        c++;
    return c;
}

static void add_shape(struct pm_features *s, unsigned id, unsigned value)
{
    add_kind(s, K_SHAPE, (uint64_t)id * 1000 + value + 1, 1);
}

static unsigned last_class(const char *text, size_t len)
{
    static const char ends[] = "?.:`;)}\"$";
    while (len && strchr(" \n\t\r", text[len - 1]))
        len--;
    if (!len)
        return 0;
    const char *found = strchr(ends, text[len - 1]);
    if (found && *found)
        return (unsigned)(found - ends) + 1;
    return is_digit((unsigned char)text[len - 1]) ? 20 : 0;
}

static void add_looks(struct pm_features *s, const struct looks *l, const char *text, size_t len)
{
    unsigned bytes = (unsigned)len;
    unsigned script = l->signs * 5 > l->letters      ? 1
                      : l->foreign * 2 > l->letters  ? 2
                      : l->foreign * 60 > l->letters ? 3
                                                     : 0;
    add_shape(s, 1, size_class(bytes));
    add_shape(s, 2, size_class(l->words));
    add_shape(s, 3, size_class(l->lines));
    add_shape(s, 4, size_class(l->numbers));
    add_shape(s, 5, share_class(l->digits, bytes));
    add_shape(s, 6, share_class(l->marks, bytes));
    add_shape(s, 7, size_class(l->marks));
    add_shape(s, 8, share_class(l->capitals, l->letters));
    add_shape(s, 9, l->empty_lines > 3 ? 3 : l->empty_lines);
    add_shape(s, 10, script);
    add_shape(s, 11, last_class(text, len));
    add_shape(s, 12, l->questions > 3 ? 3 : l->questions);
    add_shape(s, 13, l->words ? (l->word_bytes / l->words > 9 ? 9 : l->word_bytes / l->words) : 0);
    add_shape(s, 14, len && text[0] >= 'a' && text[0] <= 'z');
}

static void add_marks(const struct pm_text_tables *t, struct pm_features *s, const char *text, size_t len)
{
    unsigned seen[MARKS] = {0};
    for (size_t i = 0; i < len; i++) {
        unsigned char b = (unsigned char)text[i];
        unsigned pair = (unsigned)b << 8 | (i + 1 < len ? (unsigned char)text[i + 1] : 0);
        seen[t->single[b]]++;
        if (!(t->pairs[pair >> 6] >> (pair & 63) & 1))
            continue;
        for (unsigned m = t->first[b]; m; m = t->next[m])
            seen[m] += t->mark_len[m] <= len - i && memcmp(text + i, marks[m], t->mark_len[m]) == 0;
    }
    for (unsigned m = 1; m < MARKS; m++)
        if (seen[m])
            add_shape(s, 100 + m, seen[m] > 4 ? 2 : seen[m] > 1);
}

/* --- the recipes --- */

struct weights_of_kinds {
    float word, pair, start, line, shape, concept, chars;
};

static const struct weights_of_kinds broad = {1, 1, 1, 0.5F, 1, 1.5F, 0}, narrow = {1, 0.7F, 0, 0, 0, 0, 0.3F};

/* The first words of a text matter more than the same words later. */
enum { HEAD_WORDS = 12 };

static void add_concepts(const struct pm_text_tables *t, struct pm_features *s, uint64_t word, unsigned index,
                         float value)
{
    unsigned in = lists_of(t, word) & ((1U << CONCEPTS) - 1);
    for (unsigned l = 0; in; l++, in >>= 1) {
        if (!(in & 1))
            continue;
        add_kind(s, K_CONCEPT, l, value);
        if (index < HEAD_WORDS)
            add_kind(s, K_CONCEPT, l + 100, value);
        if (index < 2)
            add_kind(s, K_CONCEPT, l + 200, value);
    }
}

/* Runs of 3 to 5 characters, with marks where the word begins and ends. */
static void add_chars(struct pm_features *s, const struct token *t, float value)
{
    char marked[WORD_BYTES + 8];
    size_t starts[WORD_BYTES + 8], n = 0, len = t->len < 40 ? t->len : 40;
    marked[0] = '<';
    memcpy(marked + 1, t->text, len);
    marked[len + 1] = '>';
    for (size_t i = 0; i < len + 2; i++)
        if (((unsigned char)marked[i] & 0xc0) != 0x80)
            starts[n++] = i;
    starts[n] = len + 2;
    for (size_t size = 3; size <= 5; size++)
        for (size_t i = 0; i + size <= n; i++)
            add_kind(s, K_CHARS, hash_bytes(marked + starts[i], starts[i + size] - starts[i]), value);
}

struct words_before {
    uint64_t last, first[3];
    unsigned n;
    bool line_start;
};

static void add_word(const struct pm_text_tables *t, struct pm_features *s, const struct weights_of_kinds *w,
                     const struct token *token, struct words_before *b)
{
    char digits[2] = {'0', (char)('0' + (token->len < 5 ? token->len : 5))};
    bool is_number = token->kind == T_NUMBER;
    uint64_t word = is_number ? hash_bytes(digits, 2) : hash_bytes(token->text, token->len);
    add_kind(s, K_WORD, word, w->word);
    if (b->n)
        add_kind(s, K_PAIR, join(b->last, word), w->pair);
    if (w->line > 0 && b->line_start && b->n)
        add_kind(s, K_LINE, word, w->line);
    if (w->concept > 0 && !is_number)
        add_concepts(t, s, word, b->n, w->concept);
    if (w->chars > 0 && !is_number)
        add_chars(s, token, w->chars);
    if (b->n < 3)
        b->first[b->n] = word;
    b->last = word;
    b->line_start = false;
    b->n++;
}

static void note_looks(struct looks *l, const struct token *t)
{
    if (t->kind == T_MARK) {
        l->marks++;
        l->questions += t->text[0] == '?';
        return;
    }
    if (t->kind == T_LINE)
        return;
    l->words++;
    l->word_bytes += (unsigned)t->len;
    l->numbers += t->kind == T_NUMBER;
    l->digits += t->digits;
    l->capitals += t->capitals;
    l->letters += t->letters;
    l->foreign += t->foreign;
    l->signs += t->letters == 1 && t->foreign == 1 && t->len == 3;
}

static void by_words(const struct pm_text_tables *t, struct pm_features *s, const struct weights_of_kinds *w,
                     struct reader *r)
{
    struct looks looks = {.lines = 1};
    struct words_before before = {.line_start = true};
    struct token token;
    bool line_before = false;
    for (read_token(r, &token); token.kind != T_END; read_token(r, &token)) {
        note_looks(&looks, &token);
        if (token.kind == T_LINE) {
            looks.lines++;
            looks.empty_lines += line_before;
            before.line_start = true;
        } else if (token.kind != T_MARK) {
            add_word(t, s, w, &token, &before);
        }
        line_before = token.kind == T_LINE;
    }
    uint64_t start = 0;
    for (unsigned i = 0; i < 3 && i < before.n && w->start > 0; i++) {
        start = join(start, before.first[i]);
        add_kind(s, K_START, start, w->start);
    }
    if (w->shape > 0) {
        add_looks(s, &looks, r->text, r->len);
        add_marks(t, s, r->text, r->len);
    }
}

/* One to three tokens, signs and numbers as they stand. */
static void by_grams(struct pm_features *s, struct reader *r)
{
    uint64_t last[2] = {0, 0};
    unsigned n = 0;
    struct token token;
    for (read_token(r, &token); token.kind != T_END; read_token(r, &token)) {
        if (token.kind == T_LINE)
            continue;
        uint64_t word = hash_bytes(token.text, token.len);
        add_kind(s, K_GRAM, word, 1);
        if (n > 0)
            add_kind(s, K_GRAM, join(last[0], word), 1);
        if (n > 1)
            add_kind(s, K_GRAM, join(join(last[1], last[0]), word), 1);
        last[1] = last[0];
        last[0] = word;
        n++;
    }
}

/* Not in the middle of a character. */
static size_t cut(const char *text, size_t len)
{
    if (len <= PM_TEXT_BYTES)
        return len;
    len = PM_TEXT_BYTES;
    while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    return len;
}

/* What it is about stands where it begins, what is wanted of it often where it ends: of a long text both, without
 * what lies between. */
static size_t condense(const char *text, size_t len, char out[PM_TEXT_HEAD + PM_TEXT_TAIL + 1])
{
    size_t head = PM_TEXT_HEAD, tail = len - PM_TEXT_TAIL;
    while (head && ((unsigned char)text[head] & 0xc0) == 0x80)
        head--;
    while (tail < len && ((unsigned char)text[tail] & 0xc0) == 0x80)
        tail++;
    memcpy(out, text, head);
    out[head] = '\n';
    memcpy(out + head + 1, text + tail, len - tail);
    return head + 1 + len - tail;
}

void pm_features_of(const struct pm_text_tables *t, enum pm_recipe recipe, const char *text, size_t len,
                    struct pm_features *out)
{
    char ends[PM_TEXT_HEAD + PM_TEXT_TAIL + 1];
    struct reader r = {.t = t, .text = text, .len = cut(text, len)};
    if (recipe == PM_RECIPE_BROAD && len > PM_TEXT_HEAD + PM_TEXT_TAIL) {
        r.len = condense(text, len, ends);
        r.text = ends;
    }
    begin(out);
    if (recipe == PM_RECIPE_GRAMS)
        by_grams(out, &r);
    else
        by_words(t, out, recipe == PM_RECIPE_NARROW ? &narrow : &broad, &r);
}

static bool has_choice(const char *text, size_t len, char letter)
{
    for (size_t i = 0; i + 3 < len; i++)
        if (text[i] == '\n' && text[i + 1] == letter && (text[i + 2] == '.' || text[i + 2] == ')'))
            return true;
    return false;
}

/* strchr would find the zero, too. */
static bool is_one_of(char c, const char *list)
{
    return c && strchr(list, c);
}

void pm_effort_of(const struct pm_text_tables *t, const char *text, size_t len, struct pm_effort *out)
{
    struct reader r = {.t = t, .text = text, .len = cut(text, len)};
    struct token token;
    *out = (struct pm_effort){.has_choices = has_choice(text, r.len, 'A') && has_choice(text, r.len, 'B')};
    bool after_end = false;
    for (read_token(&r, &token); token.kind != T_END; read_token(&r, &token)) {
        unsigned in = token.kind == T_WORD ? lists_of(t, hash_bytes(token.text, token.len)) : 0;
        out->numbers += token.kind == T_NUMBER || (in >> L_NUMBER & 1);
        out->relations += in >> L_RELATION & 1;
        /* "3.5" is no end of a sentence, nor are three dots three. */
        bool end = token.kind == T_MARK && is_one_of(token.text[0], ".!?") &&
                   (r.at == r.len || is_one_of(r.text[r.at], " \n\t"));
        out->sentences += end && !after_end;
        after_end = end;
    }
}
