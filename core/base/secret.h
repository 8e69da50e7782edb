/* Secrets: random ones, their fingerprints, comparing without telling how far two agree. libcrypto's. */
#ifndef PM_BASE_SECRET_H
#define PM_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

enum { PM_SHA256_SIZE = 32, PM_SHA256_HEX = 65 };

/* FIPS 180-4, as lower-case hexadecimal digits with a NUL. */
void pm_sha256_hex(const void *data, size_t len, char out[PM_SHA256_HEX]);

/* Takes the same time whatever the bytes are. */
bool pm_secret_same(const void *a, const void *b, size_t len);

/* 256 random bits as 43 characters of base64url (RFC 4648, 5), which the caller frees. */
char *pm_secret_new(void);

#endif
