// Log-softmax, the loss and its gradient in exact arithmetic, as a GPU computes them. See kernels.cuh.
// Scores and log-probabilities are (seed, image, class), labels (seed, image).

// e to the power of z: 0 below -708, infinite above 709.
__device__ inline double exponential(float z)
{
    const double INVERSE_FACTORIALS[] = {1.0, 1.0, 1 / 2.0, 1 / 6.0, 1 / 24.0, 1 / 120.0, 1 / 720.0, 1 / 5040.0,
        1 / 40320.0, 1 / 362880.0, 1 / 3628800.0, 1 / 39916800.0, 1 / 479001600.0, 1 / 6227020800.0};
    const double x = z, SHIFTER = 0x1.8p+52;
    if (x != x) return x;
    if (x < -708.0) return 0.0;
    if (x > 709.0) return __longlong_as_double(0x7ff0000000000000);
    const double n = (x * 0x1.71547652b82fep+0 + SHIFTER) - SHIFTER;
    const double r = __fma_rn(-n, 0x1.a39ef35793c76p-33, __fma_rn(-n, 0x1.62e42fee00000p-1, x));
    double q = INVERSE_FACTORIALS[13];
#pragma unroll
    for (int i = 12; i >= 0; i--) q = __fma_rn(q, r, INVERSE_FACTORIALS[i]);
    return q * __longlong_as_double(((long long)n + 1023) << 52);
}

// The natural logarithm of a positive normal t.
__device__ inline double logarithm(double t)
{
    const long long bits = __double_as_longlong(t);
    if (!(t > 0.0 && bits < 0x7ff0000000000000)) return __longlong_as_double(0x7ff8000000000000);
    double n = (double)((bits >> 52) - 1023);
    double m = __longlong_as_double((bits & 0xfffffffffffff) | 1023LL << 52);
    if (m > 0x1.6a09e667f3bcdp+0) m *= 0.5, n += 1.0;
    const double f = (m - 1.0) / (m + 1.0), g = f * f;
    double q = 1 / 23.0;
#pragma unroll
    for (int i = 21; i >= 1; i -= 2) q = __fma_rn(q, g, 1.0 / i);
    return __fma_rn(n, 0x1.62e42fee00000p-1, __fma_rn(n, 0x1.a39ef35793c76p-33, 2.0 * f * q));
}

// The log-probabilities of each image. A thread takes an image.
extern "C" __global__ void log_softmax(const float *scores, float *y, int images, int classes)
{
    if (thread() >= images) return;
    const size_t start = (seed() * images + thread()) * classes;
    const float *x = scores + start;
    float largest = x[0];
    for (int k = 1; k < classes; k++)
        if (x[k] > largest || x[k] != x[k]) largest = x[k];
    double total = 0;
    for (int k = 0; k < classes; k++) total += exponential(x[k] - largest);
    const double logarithm_of_total = logarithm(total);
    for (int k = 0; k < classes; k++) y[start + k] = (float)((double)(x[k] - largest) - logarithm_of_total);
}

// The sum of the losses of each seed: a chain over the images in float64. A thread takes a seed; nothing waits for it.
extern "C" __global__ void likelihood(const float *y, const int *labels, double *loss, int images, int classes)
{
    double total = 0;
    if (thread() > 0) return;
    for (int n = 0; n < images; n++) {
        const size_t image = seed() * images + n;
        total += -(double)y[image * classes + labels[image]];
    }
    loss[seed()] = total;
}

// The gradient of the scores from the log-probabilities. A thread takes a score. The gradient of the log-probabilities
// is -1 / images at the label and +0 elsewhere. So their sum over the classes is that number, whatever the order.
extern "C" __global__ void loss_gradient(const float *y, const int *labels, float *dx, int images, int classes)
{
    if (thread() >= images * classes) return;
    const size_t at = seed() * images * classes + thread();
    const float sum = (float)(-1.0 / images), dy = labels[at / classes] == (int)(at % classes) ? sum : 0.0f;
    dx[at] = __fmaf_rn(-(float)exponential(y[at]), sum, dy);
}
