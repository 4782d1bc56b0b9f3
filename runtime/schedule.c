#include "runtime/schedule.h"

#include <math.h>

double schedule_rate(const Schedule *schedule, int64_t iteration) {
    static const double pi = 3.14159265358979323846;
    if (!schedule->decay_lr) return schedule->learning_rate;
    if (iteration < schedule->warmup_iters)
        return schedule->learning_rate * (double)(iteration + 1) / (double)(schedule->warmup_iters + 1);
    // nanoGPT divides by zero when the decay has no length; the decay is then over at once.
    if (iteration > schedule->lr_decay_iters || schedule->lr_decay_iters <= schedule->warmup_iters)
        return schedule->min_lr;
    double ratio =
        (double)(iteration - schedule->warmup_iters) / (double)(schedule->lr_decay_iters - schedule->warmup_iters);
    double coefficient = 0.5 * (1.0 + cos(pi * ratio));
    return schedule->min_lr + coefficient * (schedule->learning_rate - schedule->min_lr);
}
