/* What every unit test includes: cmocka with the headers that it needs before it. */
#ifndef PM_TESTS_UNIT_UNIT_H
#define PM_TESTS_UNIT_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Fails with a text that tells which row of a table it was. */
#define expect(condition, ...)                                                                                        \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            print_error(__VA_ARGS__);                                                                                 \
            fail();                                                                                                   \
        }                                                                                                             \
    } while (0)

#endif
