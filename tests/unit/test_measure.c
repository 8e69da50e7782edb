#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/manager/measure.h"

/* Lines as llama.cpp's programs print them, and where their MiB belong: a device, or -1 for the machine's memory. */
static const struct {
    const char *line;
    int device;
    double mib;
} lines[] = {
    {"load_tensors:   CPU_Mapped model buffer size =     7.26 MiB", -1, 7.26},
    {"0.00.212.001 I load_tensors:   CPU_REPACK model buffer size =  3744.00 MiB", -1, 3744},
    {"load_tensors:          CPU model buffer size =   100.00 MiB", -1, 100},
    {"load_tensors:    CUDA_Host model buffer size =   308.23 MiB", -1, 308.23},
    {"load_tensors:  Vulkan_Host model buffer size =   308.23 MiB", -1, 308.23},
    {"load_tensors:        CUDA0 model buffer size =  4403.49 MiB", 0, 4403.49},
    {"load_tensors:        CUDA1 model buffer size =  1024.00 MiB", 1, 1024},
    {"load_tensors:  CUDA0_Split model buffer size =  2200.50 MiB", 0, 2200.5},
    {"load_tensors:      Vulkan1 model buffer size =    12.00 MiB", 1, 12},
    {"load_tensors:        ROCm0 model buffer size =    13.00 MiB", 0, 13},
    {"load_tensors:        SYCL2 model buffer size =    14.00 MiB", 2, 14},
    {"llama_kv_cache:        CPU KV buffer size =     4.00 MiB", -1, 4},
    {"llama_kv_cache:      CUDA0 KV buffer size =   512.00 MiB", 0, 512},
    {"llama_memory_recurrent:        CPU RS buffer size =     0.82 MiB", -1, 0.82},
    {"llama_memory_recurrent:      ROCm1 RS buffer size =     0.82 MiB", 1, 0.82},
    {"sched_reserve:        CPU compute buffer size =     9.52 MiB", -1, 9.52},
    {"sched_reserve:      CUDA0 compute buffer size =   304.00 MiB", 0, 304},
    {"sched_reserve:  CUDA_Host compute buffer size =    24.01 MiB", -1, 24.01},
    {"llama_context:        CPU  output buffer size =     0.01 MiB", -1, 0.01},
    {"llama_context:  CUDA_Host  output buffer size =     0.58 MiB", -1, 0.58},
};

static const char *const others[] = {
    "",
    "buffer size",
    "llama_kv_cache: size =    4.00 MiB (  4096 cells,   4 layers,  1/1 seqs), K (f16):    2.00 MiB",
    "llama_kv_cache_iswa: creating     SWA KV cache, size = 1024 cells",
    "load_tensors: offloaded 33/33 layers to GPU",
    "common_memory_breakdown_print: |   - Host               |   8818 =  4566 +    4096 +     156   |",
    "srv  update_slots: all slots are idle",
};

static void each_line_goes_where_its_buffer_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct pm_measure m = {0};
        pm_measure_line(&m, lines[i].line);
        expect(m.lines == 1, "not read: %s\n", lines[i].line);
        double got = lines[i].device < 0 ? m.ram : m.device[lines[i].device], sum = m.ram;
        for (size_t d = 0; d < PM_DEVICES_MAX; d++)
            sum += m.device[d];
        expect(got > lines[i].mib - 1e-6 && got < lines[i].mib + 1e-6 && sum - got < 1e-6, "%f of %f: %s\n", got, sum,
               lines[i].line);
    }
}

static void other_lines_say_nothing(void **state)
{
    struct pm_measure m = {0};
    struct pm_need need;
    (void)state;
    for (size_t i = 0; i < COUNT(others); i++) {
        pm_measure_line(&m, others[i]);
        expect(m.lines == 0, "read as a size: %s\n", others[i]);
    }
    assert_false(pm_measure_need(&m, &need));
}

static void a_device_beyond_the_table_is_not_written_to(void **state)
{
    struct pm_measure m = {0};
    (void)state;
    pm_measure_line(&m, "load_tensors: CUDA99 model buffer size = 5.00 MiB");
    pm_measure_line(&m, "load_tensors: CUDA99999999999999999999 model buffer size = 5.00 MiB");
    pm_measure_line(&m, " model buffer size = 5.00 MiB");
    for (size_t d = 0; d < PM_DEVICES_MAX; d++)
        assert_true(m.device[d] <= 0);
}

static void sums_become_a_need_with_what_comes_on_top(void **state)
{
    struct pm_measure m = {0};
    struct pm_need need;
    (void)state;
    pm_measure_line(&m, "load_tensors:        CUDA0 model buffer size =  4403.49 MiB");
    pm_measure_line(&m, "llama_kv_cache:      CUDA0 KV buffer size =   512.00 MiB");
    pm_measure_line(&m, "load_tensors:   CPU_Mapped model buffer size =   100.20 MiB");
    pm_measure_line(&m, "load_tensors:   CPU_Mapped model buffer size =   100.20 MiB");
    assert_true(pm_measure_need(&m, &need));
    /* Never less than the sum, and not twice as much. */
    assert_in_range(need.device[0], 4916, 2 * 4916);
    assert_int_equal(need.device[1], 0);
    assert_in_range(need.ram, 201, 2 * 201);
    assert_false(need.estimated);
}

static char path[64];

static int fresh(void **state)
{
    (void)state;
    strcpy(path, "/tmp/pm-measure-XXXXXX");
    int fd = mkstemp(path);
    if (fd >= 0)
        close(fd);
    return fd < 0;
}

static int clean(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_text(const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void what_was_measured_is_there_after_a_restart(void **state)
{
    struct pm_need first = {.device = {5216, 0, 77}, .ram = 265}, second = {.ram = 9}, third = {.ram = 10};
    (void)state;
    struct pm_measured *all = pm_measured_new(path);
    assert_null(pm_measured_get(all, 1));
    pm_measured_put(all, 1, &first);
    pm_measured_put(all, 0xfedcba9876543210u, &second);
    pm_measured_put(all, 1, &first);
    pm_measured_put(all, 0xfedcba9876543210u, &third);
    pm_measured_free(all);
    all = pm_measured_new(path);
    assert_memory_equal(pm_measured_get(all, 1), &first, sizeof(first));
    assert_memory_equal(pm_measured_get(all, 0xfedcba9876543210u), &third, sizeof(third));
    assert_null(pm_measured_get(all, 2));
    pm_measured_free(all);
    pm_measured_free(NULL);
}

static void more_commands_than_are_remembered(void **state)
{
    enum { MANY = 600 };
    struct pm_measured *all = pm_measured_new(path);
    (void)state;
    for (long long i = 1; i <= MANY; i++)
        pm_measured_put(all, (uint64_t)i, &(struct pm_need){.ram = i});
    assert_null(pm_measured_get(all, 1));
    assert_int_equal(pm_measured_get(all, MANY)->ram, MANY);
    pm_measured_free(all);
    all = pm_measured_new(path);
    assert_null(pm_measured_get(all, 1));
    assert_int_equal(pm_measured_get(all, MANY)->ram, MANY);
    pm_measured_free(all);
}

static void a_broken_file_is_as_good_as_none(void **state)
{
    static const char *const texts[] = {"",
                                        "{",
                                        "nonsense",
                                        "[1,2,3]",
                                        "{\"0000000000000001\": 5}",
                                        "{\"0000000000000001\": []}",
                                        "{\"0000000000000001\": null}",
                                        "{\"\": [[[]]]}",
                                        "{\"0000000000000009\": [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,"
                                        "21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40]}"};
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        write_text(texts[i]);
        struct pm_measured *all = pm_measured_new(path);
        expect(!pm_measured_get(all, 1), "%s\n", texts[i]);
        pm_measured_put(all, 1, &(struct pm_need){.ram = 3});
        pm_measured_free(all);
        all = pm_measured_new(path);
        expect(pm_measured_get(all, 1) && pm_measured_get(all, 1)->ram == 3, "%s\n", texts[i]);
        pm_measured_free(all);
    }
}

/* Numbers that no machine has would make a profile fit nowhere, or everywhere, for ever. */
static void impossible_numbers_are_not_believed(void **state)
{
    static const char *const texts[] = {"{\"0000000000000001\": [-5]}", "{\"0000000000000001\": [1e300]}",
                                        "{\"0000000000000001\": [5, -1]}", "{\"0000000000000001\": [\"5\"]}"};
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        write_text(texts[i]);
        struct pm_measured *all = pm_measured_new(path);
        expect(!pm_measured_get(all, 1), "believed: %s\n", texts[i]);
        pm_measured_free(all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_goes_where_its_buffer_is),
        cmocka_unit_test(other_lines_say_nothing),
        cmocka_unit_test(a_device_beyond_the_table_is_not_written_to),
        cmocka_unit_test(sums_become_a_need_with_what_comes_on_top),
        cmocka_unit_test_setup_teardown(what_was_measured_is_there_after_a_restart, fresh, clean),
        cmocka_unit_test_setup_teardown(more_commands_than_are_remembered, fresh, clean),
        cmocka_unit_test_setup_teardown(a_broken_file_is_as_good_as_none, fresh, clean),
        cmocka_unit_test_setup_teardown(impossible_numbers_are_not_believed, fresh, clean),
    };
    return cmocka_run_group_tests_name("measure", tests, NULL, NULL);
}
