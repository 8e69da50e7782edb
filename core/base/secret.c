#include "core/base/secret.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"

enum { SECRET_BYTES = 32 };

void pm_sha256_hex(const void *data, size_t len, char out[PM_SHA256_HEX])
{
    unsigned char digest[PM_SHA256_SIZE];
    if (!EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL))
        abort();
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

bool pm_secret_same(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

char *pm_secret_new(void)
{
    unsigned char bytes[SECRET_BYTES], text[64];
    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        abort();
    EVP_EncodeBlock(text, bytes, sizeof(bytes));
    for (unsigned char *p = text; *p; p++)
        *p = *p == '+' ? '-' : *p == '/' ? '_' : *p == '=' ? 0 : *p;
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return pm_strdup((const char *)text);
}
