// The place of one more step: see step_place.h.
#include "passes/step_place.h"

#include <string.h>

const char *step_place(Arena *arena, const Step *steps, uint32_t count, const char *label, const char *place) {
    uint32_t before = 0;
    for (uint32_t s = 0; s < count; s++) {
        const char *other = steps[s].place;
        size_t length = strcspn(other, "#");
        bool is_same = strncmp(place, other, length) == 0 && place[length] == '\0';
        before += is_same && text_equal(steps[s].label, label);
    }
    return before ? arena_format(arena, "%s#%u", place, before + 1) : place;
}
