/* Runs a fuzz target over files, without libFuzzer: each file as it is, and each of its beginnings, since input that
 * stops anywhere is what a network brings.
 *
 *     replay_json FOLDER|FILE...
 *
 * Ends with `N inputs, M runs`. A breach is an abort, with the file named before it. */
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

enum { BEGINNINGS_MAX = 2048, PATH_BYTES = 4096 };

static const char *current = "";
static size_t current_size;
static unsigned long inputs, runs;

/* Async-signal-safe; the default action then ends the process as it would have. */
static void name_input(int sig)
{
    char text[PATH_BYTES + 64];
    int n =
        snprintf(text, sizeof(text), "replay: signal %d at the first %zu bytes of %s\n", sig, current_size, current);
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
        _exit(1);
    signal(sig, SIG_DFL);
    raise(sig);
}

static void run(const char *data, size_t size)
{
    char *copy = fuzz_copy(data, size, 0);
    current_size = size;
    LLVMFuzzerTestOneInput((const uint8_t *)copy, size);
    free(copy);
    runs++;
}

static void replay_file(const char *path, off_t size)
{
    FILE *f = fopen(path, "rb");
    char *data = malloc((size_t)size + 1);
    CHECK(f && data, "cannot read %s", path);
    size_t n = fread(data, 1, (size_t)size, f);
    fclose(f);
    current = path;
    inputs++;
    run(data, n);
    for (size_t part = 0; part < n && part < BEGINNINGS_MAX; part++)
        run(data, part);
    free(data);
}

static void replay(const char *path)
{
    struct stat st;
    CHECK(stat(path, &st) == 0, "no such file or folder: %s", path);
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path, st.st_size);
        return;
    }
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);
    CHECK(n >= 0, "cannot list %s", path);
    for (int i = 0; i < n; i++) {
        char inside[PATH_BYTES];
        snprintf(inside, sizeof(inside), "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.')
            replay(inside);
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s FOLDER|FILE...\n", argv[0]);
        return 2;
    }
    signal(SIGABRT, name_input);
    signal(SIGSEGV, name_input);
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%lu inputs, %lu runs\n", inputs, runs);
    return 0;
}
