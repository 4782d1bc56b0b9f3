// sinter plot: curves of trainings, to the terminal and to SVG.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "driver/command.h"
#include "driver/plot/plot.h"
#include "driver/svg.h"

enum { SVG_COLUMNS = 560, USUAL_COLUMNS = 80, MOST_COLUMNS = 240 };

// POSIX 8.2: the first one of these that is set says which characters there are.
static bool locale_is_utf8(void) {
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value && *value) return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

static int terminal_columns(void) {
    struct winsize size;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    const char *columns = getenv("COLUMNS");
    int value = columns ? atoi(columns) : 0;
    return value > 0 ? value : USUAL_COLUMNS;
}

static Terminal terminal_here(const Command *command) {
    int columns = terminal_columns();
    bool is_plain = config_bool(command->config, "ascii");
    const char *no_color = getenv("NO_COLOR");
    return (Terminal){.columns = columns < MOST_COLUMNS ? columns : MOST_COLUMNS,
                      .braille = !is_plain && locale_is_utf8(),
                      .colour = !is_plain && isatty(STDOUT_FILENO) && !(no_color && *no_color)};
}

static int print_terminal(Command *command, const Run *runs, int64_t smooth, bool by_time) {
    Terminal terminal = terminal_here(command);
    Figure figure =
        figure_create(command->arena, runs, command->file_count, smooth, by_time, 2 * (size_t)terminal.columns);
    Text text = text_create(command->arena);
    plot_terminal(&figure, &terminal, &text);
    fputs(text_string(&text), stdout);
    return EXIT_DONE;
}

int command_plot(Command *command) {
    if (command->file_count == 0) {
        diag_error(command->diags, (Place){0}, "which run? give an out_dir or a metrics file");
        return EXIT_USAGE;
    }
    int64_t smooth = config_int(command->config, "smooth");
    if (smooth < 0) {
        diag_error(command->diags, config_find(command->config, "smooth")->place,
                   "smooth = %lld: 1 or more iterations, or 0 for a hundredth of the run", (long long)smooth);
        return EXIT_USAGE;
    }
    Run *runs = ARENA_ARRAY(command->arena, Run, command->file_count);
    for (size_t i = 0; i < command->file_count; i++)
        if (!run_read(command->arena, command->files[i], &runs[i], command->diags)) return EXIT_BAD_FILE;
    bool by_time = text_equal(config_string(command->config, "x"), "time");
    const char *svg = config_string(command->config, "svg");
    if (!*svg) return print_terminal(command, runs, smooth, by_time);
    Figure figure = figure_create(command->arena, runs, command->file_count, smooth, by_time, SVG_COLUMNS);
    Text text = text_create(command->arena);
    plot_svg(&figure, &text);
    if (!svg_write(svg, &text, command->diags)) return EXIT_IO;
    printf("%s: %zu panels of %zu runs\n", svg, figure.panel_count, figure.run_count);
    return EXIT_DONE;
}
