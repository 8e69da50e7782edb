/* `pointsman top`: what happens, in a terminal, and the keys to steer it. It lives on what the manager tells those who
 * watch, so it stays up through switches, workers' deaths and restarts of the manager. */
#include <curses.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "core/base/alloc.h"
#include "core/base/text.h"
#include "core/cli/cli.h"
#include "core/cli/options.h"
#include "core/cli/talk.h"
#include "core/cli/top_priv.h"

enum { DRAW_MS = 50, CLOCK_MS = 1000, ONCE_MS = 3000, ESCAPE = 27, ONCE_ROWS = 40, ONCE_COLUMNS = 100 };

struct session {
    struct pm_loop *loop;
    struct pm_cli_watch *watch;
    struct pm_top top;
    struct pm_timer draw, clock;
    bool once, has_colours;
    int exit_code;
};

/* --- drawing --- */

static const short colours[PM_STYLES][2] = {[PM_STYLE_GOOD] = {COLOR_GREEN, -1},
                                            [PM_STYLE_BUSY] = {COLOR_YELLOW, -1},
                                            [PM_STYLE_BAD] = {COLOR_RED, -1},
                                            [PM_STYLE_HEAD] = {COLOR_CYAN, -1}};

static attr_t attributes(const struct session *s, enum pm_style style)
{
    static const attr_t plain[PM_STYLES] = {
        [PM_STYLE_DIM] = A_DIM,   [PM_STYLE_STRONG] = A_BOLD,  [PM_STYLE_BAD] = A_BOLD,
        [PM_STYLE_HEAD] = A_BOLD, [PM_STYLE_KEYS] = A_REVERSE, [PM_STYLE_CHOSEN] = A_REVERSE | A_BOLD};
    bool coloured = s->has_colours && colours[style][0];
    return plain[style] | (coloured ? COLOR_PAIR(style) : 0);
}

static void draw(void *arg)
{
    struct session *s = arg;
    struct pm_screen screen;
    pm_screen_init(&screen, LINES, COLS);
    pm_top_draw(&s->top, &screen);
    erase();
    for (int r = 0; r < screen.rows; r++) {
        for (int c = 0; c < screen.columns; c++) {
            const struct pm_cell *cell = &screen.cells[r * screen.columns + c];
            cchar_t out;
            wchar_t text[2] = {cell->ch, 0};
            bool coloured = s->has_colours && colours[cell->style][0];
            if (!cell->ch)
                continue;
            setcchar(&out, text, attributes(s, cell->style), coloured ? (short)cell->style : 0, NULL);
            mvadd_wch(r, c, &out);
        }
    }
    refresh();
    pm_screen_release(&screen);
}

static void draw_soon(struct session *s)
{
    if (!s->once && !pm_timer_is_set(&s->draw))
        pm_timer_set(&s->draw, DRAW_MS);
}

static void tick(void *arg)
{
    struct session *s = arg;
    draw_soon(s);
    pm_timer_set(&s->clock, CLOCK_MS);
}

static void resized(evutil_socket_t signo, short what, void *arg)
{
    struct winsize size;
    (void)signo;
    (void)what;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
        resizeterm(size.ws_row, size.ws_col);
    clear();
    draw(arg);
}

/* --- what the manager says --- */

static void up(void *arg)
{
    struct session *s = arg;
    s->top.up = true;
    if (*s->top.down_why && s->top.status)
        pm_top_say(&s->top, false, "the gateway is there again");
    draw_soon(s);
}

static void down(void *arg, const char *why)
{
    struct session *s = arg;
    s->top.up = false;
    free(s->top.down_why);
    s->top.down_why = pm_strdup(why);
    cJSON_Delete(s->top.live);
    s->top.live = NULL;
    if (s->once) {
        fprintf(stderr, "pointsman: %s\n", why);
        s->exit_code = 1;
        pm_loop_stop(s->loop);
    }
    draw_soon(s);
}

/* Status comes first, then what is under way: the frame is complete with that. */
static void event(void *arg, enum pm_watch kind, const char *text)
{
    struct session *s = arg;
    pm_top_event(&s->top, kind, text);
    int n = pm_top_profiles(&s->top, false);
    if (s->top.chosen >= n)
        s->top.chosen = n ? n - 1 : 0;
    if (s->once && s->top.live && kind == PM_WATCH_EVENTS && !pm_timer_is_set(&s->draw))
        pm_timer_set(&s->draw, DRAW_MS);
    draw_soon(s);
}

static void answered(void *arg, int tag, const cJSON *reply)
{
    struct session *s = arg;
    const char *error = pm_json_str(reply, "error");
    (void)tag;
    if (!reply)
        pm_top_say(&s->top, true, "the gateway went away before it answered");
    else if (error)
        pm_top_say(&s->top, true, "%s", error);
    draw_soon(s);
}

static void ask(struct session *s, const char *op, const cJSON *profile, const char *doing)
{
    const char *id = profile ? pm_json_str(profile, "id") : NULL;
    cJSON *question = pm_cli_question(op, id);
    if (strcmp(op, "pin") == 0)
        cJSON_AddBoolToObject(question, "on", !pm_json_true(profile, "pinned"));
    if (strcmp(op, "stop") == 0)
        cJSON_AddBoolToObject(question, "keep", strcmp(doing, "keep") == 0);
    if (pm_cli_watch_ask(s->watch, question, 0, answered))
        pm_top_say(&s->top, false, "%s %s", id ? id : "the gateway:", strcmp(op, "stop") == 0 ? "stopping" : doing);
    else
        pm_top_say(&s->top, true, "no gateway runs: nobody to tell");
}

/* --- keys --- */

static void load(struct session *s, const cJSON *p)
{
    if (p && strcmp(pm_top_str(p, "state"), "ready") == 0)
        pm_top_say(&s->top, false, "%s is loaded already", pm_top_str(p, "id"));
    else if (p)
        ask(s, "switch", p, "will be loaded");
}

static void key_in_picker(struct session *s, int key)
{
    struct pm_top *t = &s->top;
    int n = pm_top_profiles(t, t->picks_bench);
    switch (key) {
    case KEY_UP:
    case 'k':
        t->picked -= t->picked > 0;
        break;
    case KEY_DOWN:
    case 'j':
        t->picked += t->picked + 1 < n;
        break;
    case 'b':
        t->picks_bench = !t->picks_bench;
        t->picked = 0;
        break;
    case '\n':
    case '\r':
    case KEY_ENTER:
        t->over = PM_TOP_NOTHING;
        load(s, pm_top_profile(t, t->picks_bench, t->picked));
        break;
    case ESCAPE:
    case 'q':
    case 'm':
        t->over = PM_TOP_NOTHING;
        break;
    default:
        break;
    }
}

static void key_in_question(struct session *s, int key)
{
    s->top.over = PM_TOP_NOTHING;
    if (key == 'y' || key == 'Y')
        ask(s, "stop", NULL, "stop");
    else if (key == 'k')
        ask(s, "stop", NULL, "keep");
}

static void key_in_filter(struct pm_top *t, int key)
{
    size_t n = strlen(t->filter);
    if (key == ESCAPE)
        t->filter[0] = 0;
    if (key == ESCAPE || key == '\n' || key == '\r' || key == KEY_ENTER)
        t->types_filter = false;
    else if ((key == KEY_BACKSPACE || key == 127 || key == 8) && n)
        t->filter[n - 1] = 0;
    else if (key >= ' ' && key < 127 && n + 1 < sizeof(t->filter))
        t->filter[n] = (char)key;
    t->scroll = 0;
}

static void scroll_log(struct pm_top *t, int by)
{
    pm_top_scroll(t, by, pm_top_log_rows(t, LINES, COLS));
}

/* Keys that steer the gateway; false for others. */
static bool key_for_gateway(struct session *s, int key)
{
    struct pm_top *t = &s->top;
    const cJSON *p = pm_top_profile(t, false, t->chosen);
    switch (key) {
    case 'm':
        t->over = PM_TOP_PICKER;
        t->picked = t->chosen;
        t->picks_bench = false;
        return true;
    case '\n':
    case '\r':
    case KEY_ENTER:
        load(s, p);
        return true;
    case 'u':
        if (p)
            ask(s, "unload", p, "will be unloaded");
        return true;
    case 'p':
        if (p)
            ask(s, "pin", p, pm_json_true(p, "pinned") ? "is not pinned any more" : "is pinned");
        return true;
    case 'Q':
        t->over = PM_TOP_STOP;
        return true;
    default:
        return false;
    }
}

static void key_for_view(struct session *s, int key)
{
    struct pm_top *t = &s->top;
    int page = LINES / 3 > 1 ? LINES / 3 : 1;
    switch (key) {
    case 'q':
        pm_loop_stop(s->loop);
        break;
    case KEY_UP:
    case 'k':
        t->chosen -= t->chosen > 0;
        break;
    case KEY_DOWN:
    case 'j':
        t->chosen += t->chosen + 1 < pm_top_profiles(t, false);
        break;
    case '\t':
        pm_top_next_source(t);
        break;
    case KEY_PPAGE:
        scroll_log(t, page);
        break;
    case KEY_NPAGE:
        scroll_log(t, -page);
        break;
    case KEY_HOME:
        scroll_log(t, PM_TOP_LINES);
        break;
    case KEY_END:
        t->scroll = 0;
        break;
    case '/':
        t->types_filter = true;
        break;
    case '?':
    case 'h':
        t->over = PM_TOP_HELP;
        break;
    default:
        break;
    }
}

static void key(struct session *s, int key)
{
    struct pm_top *t = &s->top;
    if (key == KEY_RESIZE)
        return;
    if (t->types_filter) {
        key_in_filter(t, key);
        return;
    }
    *t->message = 0;
    if (t->over == PM_TOP_PICKER)
        key_in_picker(s, key);
    else if (t->over == PM_TOP_STOP)
        key_in_question(s, key);
    else if (t->over == PM_TOP_HELP)
        t->over = PM_TOP_NOTHING;
    else if (!key_for_gateway(s, key))
        key_for_view(s, key);
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
    struct session *s = arg;
    struct pollfd terminal = {.fd = fd, .events = POLLIN};
    char byte;
    int k, n = 0;
    (void)what;
    while ((k = getch()) != ERR) {
        key(s, k);
        n++;
    }
    /* Readable, and nothing to read: the terminal has gone. */
    if (!n && poll(&terminal, 1, 0) > 0 && read(fd, &byte, 1) <= 0)
        pm_loop_stop(s->loop);
    draw_soon(s);
}

static void interrupted(evutil_socket_t signo, short what, void *arg)
{
    struct session *s = arg;
    (void)signo;
    (void)what;
    pm_loop_stop(s->loop);
}

/* --- start and end --- */

static int open_terminal(struct session *s)
{
    SCREEN *screen = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) ? newterm(NULL, stdout, stdin) : NULL;
    /* A dumb one: its cursor cannot be moved. */
    if (screen && !tigetstr("cup")) {
        endwin();
        delscreen(screen);
        screen = NULL;
    }
    if (!screen) {
        fputs("pointsman: no terminal that can be drawn on: `pointsman top --once` prints one frame as text\n",
              stderr);
        return -1;
    }
    set_term(screen);
    cbreak();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    s->has_colours = has_colors() && !getenv("NO_COLOR");
    if (s->has_colours) {
        start_color();
        use_default_colors();
        for (short i = 0; i < PM_STYLES; i++)
            if (colours[i][0])
                init_pair(i, colours[i][0], colours[i][1]);
    }
    return 0;
}

static void run_terminal(struct session *s)
{
    struct event *input = pm_loop_on_readable(s->loop, STDIN_FILENO, readable, s);
    pm_loop_on_signal(s->loop, SIGWINCH, resized, s);
    tick(s);
    pm_loop_run(s->loop);
    event_free(input);
    endwin();
}

static int columns_of_terminal(void)
{
    const char *said = getenv("COLUMNS");
    struct winsize size;
    long long n;
    if (said && pm_int_parse(said, 40, 400, &n) == PM_OK)
        return (int)n;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 ? size.ws_col : ONCE_COLUMNS;
}

static void print_once(void *arg)
{
    struct session *s = arg;
    struct pm_screen screen;
    pm_screen_init(&screen, ONCE_ROWS, columns_of_terminal());
    pm_top_draw(&s->top, &screen);
    /* There is nobody at the keys. */
    for (int c = 0; c < screen.columns; c++)
        screen.cells[(screen.rows - 1) * screen.columns + c].ch = L' ';
    pm_screen_print(&screen, stdout);
    pm_screen_release(&screen);
    pm_loop_stop(s->loop);
}

static void too_late(void *arg)
{
    struct session *s = arg;
    fputs("pointsman: the gateway does not answer\n", stderr);
    s->exit_code = 1;
    pm_loop_stop(s->loop);
}

static int run(struct session *s, const char *state)
{
    static const struct pm_cli_watch_events events = {.up = up, .down = down, .event = event};
    pm_top_init(&s->top);
    s->loop = pm_loop_new();
    pm_timer_init(&s->draw, s->loop, s->once ? print_once : draw, s);
    pm_timer_init(&s->clock, s->loop, s->once ? too_late : tick, s);
    s->watch = pm_cli_watch_new(s->loop, state, PM_WATCH_EVENTS | PM_WATCH_LOGS, &events, s);
    pm_loop_on_signal(s->loop, SIGINT, interrupted, s);
    pm_loop_on_signal(s->loop, SIGTERM, interrupted, s);
    pm_loop_on_signal(s->loop, SIGHUP, interrupted, s);
    if (s->once) {
        pm_timer_set(&s->clock, ONCE_MS);
        pm_loop_run(s->loop);
    } else {
        run_terminal(s);
    }
    pm_cli_watch_free(s->watch);
    pm_timer_release(&s->draw);
    pm_timer_release(&s->clock);
    pm_top_release(&s->top);
    pm_loop_settle(s->loop);
    pm_loop_free(s->loop);
    return s->exit_code;
}

int pm_cmd_top(int argc, char **argv)
{
    static const char usage[] = "top [--once] [--state DIR]";
    const char *state = pm_cli_places()->state;
    bool once = false;
    const struct pm_cli_option options[] = {{"--once", NULL, &once, "print one frame as text"},
                                            {"--state", &state, NULL, "the state folder of the running gateway"},
                                            {0}};
    int words, rc = pm_cli_parse(usage, options, argc, argv, &words);
    if (rc >= 0)
        return rc;
    if (words) {
        fprintf(stderr, "usage: pointsman %s\n", usage);
        return 2;
    }
    setlocale(LC_ALL, "");
    struct session *s = pm_calloc(1, sizeof(*s));
    s->once = once;
    rc = !once && open_terminal(s) < 0 ? 1 : run(s, state);
    free(s);
    return rc;
}
