#include "core/api/language.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

enum { LOOK_AT = 2000, ENOUGH_WORDS = 50, WORDS = 14 };

/* Blocks of the Unicode standard (Blocks.txt), those that tell a script apart. */
struct block {
    uint32_t first, last;
    unsigned char script;
};

enum { LATIN, GREEK, CYRILLIC, HEBREW, ARABIC, DEVANAGARI, BENGALI, TAMIL, THAI, HANGUL, KANA, HAN, SCRIPTS };

static const struct block blocks[] = {
    {0x41, 0x5a, LATIN},      {0x61, 0x7a, LATIN},    {0xc0, 0x24f, LATIN},   {0x370, 0x3ff, GREEK},
    {0x400, 0x52f, CYRILLIC}, {0x590, 0x5ff, HEBREW}, {0x600, 0x77f, ARABIC}, {0x900, 0x97f, DEVANAGARI},
    {0x980, 0x9ff, BENGALI},  {0xb80, 0xbff, TAMIL},  {0xe00, 0xe7f, THAI},   {0x1100, 0x11ff, HANGUL},
    {0x1e00, 0x1eff, LATIN},  {0x3040, 0x30ff, KANA}, {0x3400, 0x4dbf, HAN},  {0x4e00, 0x9fff, HAN},
    {0xac00, 0xd7af, HANGUL},
};

static const struct {
    const char *script, *language;
} scripts[SCRIPTS] = {
    [LATIN] = {"Latn", ""},    [GREEK] = {"Grek", "el"},      [CYRILLIC] = {"Cyrl", "ru"}, [HEBREW] = {"Hebr", "he"},
    [ARABIC] = {"Arab", "ar"}, [DEVANAGARI] = {"Deva", "hi"}, [BENGALI] = {"Beng", "bn"},  [TAMIL] = {"Taml", "ta"},
    [THAI] = {"Thai", "th"},   [HANGUL] = {"Hang", "ko"},     [KANA] = {"Jpan", "ja"},     [HAN] = {"Hani", "zh"},
};

/* Words that stand in almost every sentence of one language and in few of another. */
static const struct {
    const char *language;
    const char *words[WORDS];
} common[] = {
    {"en", {"the", "and", "is", "of", "to", "what", "how", "with", "for", "my", "this", "that", "it", "you"}},
    {"de", {"der", "die", "und", "das", "ist", "nicht", "ein", "eine", "mit", "wie", "ich", "zu", "auf", "den"}},
    {"fr", {"le", "les", "des", "est", "une", "et", "pour", "dans", "que", "je", "du", "pas", "avec", "comment"}},
    {"es", {"el", "los", "las", "una", "es", "por", "con", "para", "como", "y", "del", "mi", "en", "que"}},
    {"pt", {"o", "os", "um", "uma", "para", "com", "não", "como", "e", "do", "da", "em", "meu", "que"}},
    {"it", {"il", "gli", "che", "di", "una", "per", "con", "non", "come", "e", "della", "mi", "sono", "un"}},
    {"nl", {"de", "het", "een", "van", "en", "niet", "met", "voor", "hoe", "ik", "is", "dat", "op", "mijn"}},
    {"pl", {"i", "w", "na", "jest", "nie", "do", "się", "z", "jak", "że", "dla", "czy", "to", "mi"}},
    {"tr", {"bir", "ve", "bu", "için", "ile", "nasıl", "de", "da", "ne", "olarak", "gibi", "çok", "bana", "mi"}},
    {"vi", {"là", "của", "và", "có", "cho", "tôi", "không", "một", "được", "trong", "này", "các", "với", "hãy"}},
    {"id",
     {"yang", "dan", "di", "untuk", "dengan", "saya", "ini", "itu", "apa", "dari", "tidak", "cara", "ke", "adalah"}},
    {"sv", {"och", "är", "att", "det", "en", "som", "för", "på", "jag", "inte", "med", "hur", "till", "av"}},
    {"cs", {"je", "se", "na", "to", "jak", "pro", "že", "jsem", "co", "mi", "z", "do", "ale", "jako"}},
};

static uint32_t decode(const char *text, size_t len, size_t *at)
{
    unsigned char c = (unsigned char)text[(*at)++];
    unsigned more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
    uint32_t code = more == 3 ? c & 7u : more == 2 ? c & 15u : more == 1 ? c & 31u : c;
    while (more-- && *at < len)
        code = code << 6 | ((unsigned char)text[(*at)++] & 63u);
    return code;
}

static int script_of(uint32_t code)
{
    for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks) && code >= blocks[i].first; i++)
        if (code <= blocks[i].last)
            return blocks[i].script;
    return -1;
}

static size_t word_length(const char *text, size_t len)
{
    size_t n = 0;
    while (n < len && ((unsigned char)text[n] >= 0x80 || isalpha((unsigned char)text[n])))
        n++;
    return n;
}

/* A word of up to eight bytes as a number. */
static uint64_t pack(const char *word, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n = n << 8 | (unsigned char)tolower((unsigned char)word[i]);
    return n;
}

static const char *latin_language(const char *text, size_t len)
{
    enum { N = sizeof(common) / sizeof(*common) };
    uint64_t known[N][WORDS];
    unsigned seen[N] = {0}, best = 0, words = 0;
    for (size_t l = 0; l < N; l++)
        for (size_t w = 0; w < WORDS; w++)
            known[l][w] = pack(common[l].words[w], strlen(common[l].words[w]));
    for (size_t at = 0; at < len && words < ENOUGH_WORDS;) {
        size_t n = word_length(text + at, len - at);
        if (!n) {
            at++;
            continue;
        }
        uint64_t word = n <= sizeof(word) ? pack(text + at, n) : 0;
        words++;
        for (size_t l = 0; l < N && word; l++)
            for (size_t w = 0; w < WORDS; w++)
                seen[l] += known[l][w] == word;
        at += n;
    }
    for (unsigned l = 1; l < N; l++)
        if (seen[l] > seen[best])
            best = l;
    return seen[best] * 20 >= words && seen[best] ? common[best].language : "";
}

void pm_language_of(const char *text, size_t len, struct pm_language *out)
{
    unsigned seen[SCRIPTS] = {0}, best = 0;
    if (len > LOOK_AT)
        len = LOOK_AT;
    for (size_t at = 0; at < len;) {
        int script = script_of(decode(text, len, &at));
        /* A letter of a script without capitals, or a sign for a syllable, says more than one of Latin's. */
        if (script >= 0)
            seen[script] += script == LATIN ? 1 : script >= HANGUL ? 4 : 2;
    }
    for (unsigned i = 1; i < SCRIPTS; i++)
        if (seen[i] > seen[best])
            best = i;
    /* Japanese is written with both. */
    if (best == HAN && seen[KANA] * 5 > seen[HAN])
        best = KANA;
    *out = (struct pm_language){"", ""};
    if (!seen[best])
        return;
    out->script = scripts[best].script;
    out->language = best == LATIN ? latin_language(text, len) : scripts[best].language;
}
