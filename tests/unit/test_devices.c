#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/manager/devices.h"

enum { MANY = 32 };

static char root[64];

static void make_folders(const char *path)
{
    char part[256];
    for (const char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        snprintf(part, sizeof(part), "%.*s", (int)(p - path), path);
        mkdir(part, 0700);
    }
}

static void put(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    make_folders(path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void card(const char *name, const char *total, const char *used)
{
    char file[128];
    snprintf(file, sizeof(file), "class/drm/%s/device/mem_info_vram_total", name);
    put(file, total);
    snprintf(file, sizeof(file), "class/drm/%s/device/mem_info_vram_used", name);
    put(file, used);
}

static int fresh(void **state)
{
    (void)state;
    strcpy(root, "/tmp/pm-devices-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int clean(void **state)
{
    char command[100];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    return system(command);
}

/* NVIDIA's, should this machine have any, come before those of the tree. */
static size_t others(void)
{
    struct pm_device seen[MANY];
    struct pm_devices *d = pm_devices_open("/nonexistent");
    size_t n = d ? pm_devices_read(d, seen, MANY) : 0;
    pm_devices_free(d);
    return n;
}

static void nothing_there_is_no_devices(void **state)
{
    (void)state;
    if (others())
        skip();
    assert_null(pm_devices_open("/nonexistent"));
    assert_null(pm_devices_open(root));
    put("class/drm/version", "drm 1.1.0\n");
    put("class/drm/card0/device/vendor", "0x8086\n");
    assert_null(pm_devices_open(root));
    pm_devices_free(NULL);
}

static void cards_are_read_in_the_order_of_their_numbers(void **state)
{
    struct pm_device seen[MANY];
    size_t first = others();
    (void)state;
    card("card10", "8589934592\n", "1073741824\n");
    card("card2", "17163091968\n", "0\n");
    card("card1", "1048576", "524288");
    put("class/drm/card2-HDMI-A-1/status", "connected\n");
    put("class/drm/renderD128/device/mem_info_vram_total", "99\n");
    put("class/drm/card3/device/vendor", "0x8086\n");
    struct pm_devices *d = pm_devices_open(root);
    assert_non_null(d);
    assert_int_equal(pm_devices_read(d, seen, MANY), first + 3);
    static const struct {
        long long total, free;
    } rows[] = {{1, 0}, {16368, 16368}, {8192, 7168}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(seen[first + i].total_mib, rows[i].total);
        assert_int_equal(seen[first + i].free_mib, rows[i].free);
        assert_true(*seen[first + i].name);
    }
    /* No more than there is room for. */
    assert_int_equal(pm_devices_read(d, seen, first + 2), first + 2);
    assert_int_equal(pm_devices_read(d, seen, 0), 0);
    pm_devices_free(d);
}

static void each_reading_is_a_new_one(void **state)
{
    struct pm_device seen[MANY];
    size_t first = others();
    (void)state;
    card("card0", "8589934592\n", "0\n");
    struct pm_devices *d = pm_devices_open(root);
    pm_devices_read(d, seen, MANY);
    assert_int_equal(seen[first].free_mib, 8192);
    card("card0", "8589934592\n", "4294967296\n");
    pm_devices_read(d, seen, MANY);
    assert_int_equal(seen[first].free_mib, 4096);
    pm_devices_free(d);
}

/* A card that is lost, or a driver that says nonsense: never more than there is, and never less than nothing. */
static void odd_numbers_stay_within_reason(void **state)
{
    static const struct {
        const char *total, *used;
    } rows[] = {{"8589934592\n", "nonsense\n"},
                {"8589934592\n", ""},
                {"8589934592\n", "-1\n"},
                {"8589934592\n", "9663676416\n"},
                {"\n", "0\n"},
                {"0\n", "0\n"},
                {"-5\n", "0\n"}};
    struct pm_device seen[MANY];
    size_t first = others();
    (void)state;
    card("card0", "8589934592\n", "0\n");
    struct pm_devices *d = pm_devices_open(root);
    assert_non_null(d);
    for (size_t i = 0; i < COUNT(rows); i++) {
        card("card0", rows[i].total, rows[i].used);
        size_t n = pm_devices_read(d, seen, MANY);
        for (size_t j = first; j < n; j++)
            expect(seen[j].total_mib >= 0 && seen[j].free_mib >= 0 && seen[j].free_mib <= seen[j].total_mib,
                   "row %zu: %lld of %lld\n", i, seen[j].free_mib, seen[j].total_mib);
    }
    pm_devices_free(d);
}

static void the_machines_own_memory(void **state)
{
    long long total, available;
    (void)state;
    pm_machine_memory(&total, &available);
    assert_true(total > 0 && available > 0 && available <= total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_there_is_no_devices, fresh, clean),
        cmocka_unit_test_setup_teardown(cards_are_read_in_the_order_of_their_numbers, fresh, clean),
        cmocka_unit_test_setup_teardown(each_reading_is_a_new_one, fresh, clean),
        cmocka_unit_test_setup_teardown(odd_numbers_stay_within_reason, fresh, clean),
        cmocka_unit_test(the_machines_own_memory),
    };
    return cmocka_run_group_tests_name("devices", tests, NULL, NULL);
}
