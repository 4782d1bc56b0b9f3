// Bars and whiskers of the report: one small <svg> a row, with coordinates in percent.
#include <math.h>

#include "driver/bench/page.h"

enum { ROW_HEIGHT = 22, MIDDLE = ROW_HEIGHT / 2 };

void page_escaped(Text *out, const char *text) {
    for (; *text; text++) {
        switch (*text) {
        case '&': text_append(out, "&amp;"); break;
        case '<': text_append(out, "&lt;"); break;
        case '>': text_append(out, "&gt;"); break;
        case '"': text_append(out, "&quot;"); break;
        default: text_append_bytes(out, text, 1);
        }
    }
}

static double percent(double value, double low, double high) {
    return fmin(fmax(100 * (value - low) / (high - low), 0), 100);
}

static void interval(Text *out, double low, double high) {
    text_append(out, "<line class=\"range\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%d\" y2=\"%d\"/>", low, high, MIDDLE,
                MIDDLE);
    const double ends[] = {low, high};
    for (int i = 0; i < 2; i++)
        text_append(out, "<line class=\"range\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"%d\" y2=\"%d\"/>", ends[i], ends[i],
                    MIDDLE - 4, MIDDLE + 4);
}

void page_bar(Text *out, const char *colour, Estimate of, double full) {
    text_append(out, "<svg class=\"mark\" width=\"100%%\" height=\"%d\" role=\"img\">", ROW_HEIGHT);
    text_append(out, "<rect class=\"fill-%s\" x=\"0\" y=\"%d\" width=\"%.2f%%\" height=\"%d\" rx=\"2\"/>", colour,
                MIDDLE - 7, percent(of.median, 0, full), 14);
    interval(out, percent(of.low, 0, full), percent(of.high, 0, full));
    text_append(out, "</svg>");
}

void page_whisker(Text *out, const char *colour, Estimate of, double low, double high) {
    double one = percent(1, low, high), median = percent(of.median, low, high);
    text_append(out, "<svg class=\"mark\" width=\"100%%\" height=\"%d\" role=\"img\">", ROW_HEIGHT);
    text_append(out, "<line class=\"one\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"0\" y2=\"%d\"/>", one, one, ROW_HEIGHT);
    interval(out, percent(of.low, low, high), percent(of.high, low, high));
    text_append(out, "<circle class=\"fill-%s\" cx=\"%.2f%%\" cy=\"%d\" r=\"4.5\"/></svg>", colour, median, MIDDLE);
}
