// Batch normalisation in exact arithmetic, as a GPU computes it. See kernels.cuh.
// Numbers of a channel are (seed, channel); column sums are (seed, which of the two, image, channel, column), float32.

// What a batch normalisation makes for a channel; its mean stands apart, where column_sums finds it.
struct Channel {
    double inverse, scale;
    float factor, shift, slope, offset;
};

// The first step of two sums over channels: a chain over the rows for each image, column and channel. A thread takes a
// column of an image. Forward (dy is null) it sums x - centre and its square, backward dy and dy * (x - centre).
extern "C" __global__ void column_sums(const float *x, const float *dy, const float *centre, float *sums, Shape a)
{
    const int columns = a.width * a.channels, c = thread() % a.channels, w = thread() / a.channels;
    if (thread() >= columns) return;
    const size_t image = seed() * a.images + blockIdx.y, start = image * a.height * columns + thread();
    const float k = centre[seed() * a.channels + c];
    float first = 0, second = 0;
#pragma unroll 4
    for (int h = 0; h < a.height; h++) {
        const size_t at = start + h * columns;
        const float d = x[at] - k, t = dy ? dy[at] : d;
        first += t;
        second = __fmaf_rn(t, d, second);
    }
    const size_t half = (size_t)a.images * columns, at = seed() * 2 * half + blockIdx.y * columns + c * a.width + w;
    sums[at] = first;
    sums[at + half] = second;
}

// The other steps, for the channel blockIdx.x, in float64: a chain over the images for each column, then one over the
// columns. Only thread 0 gets the two sums and true.
__device__ inline bool channel_sums(const float *sums, Shape a, double result[2])
{
    double *totals = (double *)room;  // two for each column
    const int columns = a.channels * a.width;
    for (int i = threadIdx.x; i < 2 * a.width; i += blockDim.x) {
        const float *from = sums + (seed() * 2 + i / a.width) * a.images * columns + blockIdx.x * a.width + i % a.width;
        double total = 0;
#pragma unroll 8
        for (int n = 0; n < a.images; n++) total += (double)from[n * columns];
        totals[i] = total;
    }
    __syncthreads();
    result[0] = result[1] = 0;
    if (threadIdx.x > 0) return false;
    for (int w = 0; w < a.width; w++) {
        result[0] += totals[w];
        result[1] += totals[w + a.width];
    }
    return true;
}

__device__ inline float moved(float running, double momentum, double batch)
{
    return (float)((double)running + momentum * (batch - (double)running));
}

// Make the statistics of a channel, and move the running ones. `centre` is the mean that column_sums took away.
extern "C" __global__ void statistics(
    const float *sums, const float *centre, const float *weight, const float *bias, double epsilon, double momentum,
    float *running_mean, float *running_variance, float *mean32, Channel *channels, Shape a)
{
    double sum[2];
    if (!channel_sums(sums, a, sum)) return;
    const size_t c = seed() * a.channels + blockIdx.x;
    const double m = (double)a.images * a.height * a.width, average = sum[0] / m;
    const double mean = (double)centre[c] + average, found = sum[1] / m - average * average;
    const double variance = found < 0 ? 0.0 : found;
    const double inverse = 1.0 / sqrt(variance + epsilon), scale = (double)weight[c] * inverse;
    running_mean[c] = moved(running_mean[c], momentum, mean);
    running_variance[c] = moved(running_variance[c], momentum, variance * m / (m - 1));
    mean32[c] = (float)mean;
    channels[c] = {inverse, scale, (float)scale, (float)((double)bias[c] - mean * scale), 0, 0};
}

// Make the gradients of weight and bias, and what passes the gradient of a value on.
extern "C" __global__ void gradient_statistics(
    const float *sums, float *weight_gradient, float *bias_gradient, Channel *channels, Shape a)
{
    double g[2];
    if (!channel_sums(sums, a, g)) return;
    const size_t c = seed() * a.channels + blockIdx.x;
    const double m = (double)a.images * a.height * a.width;
    Channel &of = channels[c];
    weight_gradient[c] = (float)(g[1] * of.inverse);
    bias_gradient[c] = (float)g[0];
    of.slope = (float)(-of.scale * of.inverse * of.inverse * g[1] / m);
    of.offset = (float)(-of.scale * g[0] / m);
}

// Normalise. A thread takes one of the `values` of a seed.
extern "C" __global__ void normalise(const float *x, const Channel *channels, float *y, int values, int count)
{
    if (thread() >= values) return;
    const size_t at = seed() * values + thread();
    const Channel of = channels[seed() * count + thread() % count];
    y[at] = __fmaf_rn(x[at], of.factor, of.shift);
}

// The gradient of the value that went in.
extern "C" __global__ void normalise_gradient(
    const float *x, const float *dy, const float *mean, const Channel *channels, float *dx, int values, int count)
{
    if (thread() >= values) return;
    const size_t at = seed() * values + thread(), c = seed() * count + thread() % count;
    const Channel of = channels[c];
    dx[at] = __fmaf_rn(of.factor, dy[at], __fmaf_rn(of.slope, x[at] - mean[c], of.offset));
}
