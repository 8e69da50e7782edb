/* In which script and language a text is written: a guess that costs a microsecond. */
#ifndef PM_API_LANGUAGE_H
#define PM_API_LANGUAGE_H

#include <stddef.h>

/* Both are constants: the script as ISO 15924 names it ("Latn", "Cyrl", "Hani", ...), the language as ISO 639-1 does.
 * "" where the text does not tell. The first 2,000 bytes count, of words the first fifty. */
struct pm_language {
    const char *script, *language;
};

void pm_language_of(const char *text, size_t len, struct pm_language *out);

#endif
