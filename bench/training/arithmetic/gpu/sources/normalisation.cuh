// Batch normalisation: sums over channels, the statistics that they give, and the gradients that pass through.
// Sums of columns are (run, which of the two, image, column, channel), float32.
#pragma once

#include "chain.cuh"

// A thread takes a column of a channel of an image: the first of the three steps of a sum over channels.
template <class IN>
__device__ inline bool column(int images, int &n, int &w, int &c)
{
    if (thread() >= images * IN::width * IN::channels) return false;
    c = thread() % IN::channels, w = thread() / IN::channels % IN::width, n = thread() / IN::channels / IN::width;
    return true;
}

// The columns of x - centre and of its square, where x is what goes into the normalisation.
template <class IN>
__device__ inline void moments(const Input &in, const float *centre, float *sums, int images)
{
    int n, w, c;
    if (!column<IN>(images, n, w, c)) return;
    const float k = centre[run() * IN::channels + c];
    float first = 0, second = 0;
#pragma unroll 4
    for (int h = 0; h < IN::height; h++) {
        const typename IN::place place = {in, images, n, h, w, c};
        const float d = IN::chain::before_norm(IN::raw(place), place) - k;
        first += d;
        second = __fmaf_rn(d, d, second);
    }
    const size_t columns = (size_t)images * IN::width * IN::channels;
    sums[run() * 2 * columns + thread()] = first;
    sums[(run() * 2 + 1) * columns + thread()] = second;
}

// The columns of the gradient of what the normalisation gave, and of its product with x - mean.
template <class IN, class GRADIENT>
__device__ inline void gradient_sums(const Input &in, const GRADIENT &gradient, float *sums, int images)
{
    int n, w, c;
    if (!column<IN>(images, n, w, c)) return;
    const float mean = in.numbers[(run() * NUMBERS + MEAN) * IN::channels + c];
    float first = 0, second = 0;
#pragma unroll 2
    for (int h = 0; h < IN::height; h++) {
        const typename IN::place place = {in, images, n, h, w, c};
        float x = 0;
        const float g = IN::chain::at_norm(IN::raw(place), gradient.template at<IN>(place), place, x);
        first += g;
        second = __fmaf_rn(g, x - mean, second);
    }
    const size_t columns = (size_t)images * IN::width * IN::channels;
    sums[run() * 2 * columns + thread()] = first;
    sums[(run() * 2 + 1) * columns + thread()] = second;
}

// The gradient of the values in memory from that of the result of their chain. With BIAS also the columns of its sum.
template <class IN, class GRADIENT, bool BIAS>
__device__ inline void pass_back(const Input &in, const GRADIENT &gradient, float *to, float *sums, int images)
{
    int n, w, c;
    if (!column<IN>(images, n, w, c)) return;
    float sum = 0;
#pragma unroll 2
    for (int h = 0; h < IN::height; h++) {
        const typename IN::place place = {in, images, n, h, w, c};
        const float g = IN::chain::backward(IN::raw(place), gradient.template at<IN>(place), place);
        to[IN::at(place)] = g;
        if (BIAS) sum += g;
    }
    if (BIAS) sums[run() * images * IN::width * IN::channels + thread()] = sum;
}

// A gradient that lies in memory.
struct InMemory {
    const float *values;
    template <class IN> __device__ float at(const typename IN::place &p) const { return values[IN::at(p)]; }
};

constexpr int TOGETHER = 8;  // channels of a block below

// The second and the third step for two sums of some channels, in float64: a chain over the images for each column,
// then one over the columns. Thread i < TOGETHER gets the sums of channel `c` and true.
__device__ inline bool channel_sums(const float *sums, int images, int width, int channels, double (&result)[2], int &c)
{
    double *totals = (double *)room;  // (which of the two, column, channel)
    const int first = blockIdx.x * TOGETHER;
    for (int i = threadIdx.x; i < 2 * width * TOGETHER; i += blockDim.x) {
        const int channel = first + i % TOGETHER, w = i / TOGETHER % width;
        if (channel >= channels) continue;
        const float *from = sums + (run() * 2 + i / TOGETHER / width) * images * width * channels + w * channels + channel;
        double total = 0;
#pragma unroll 8
        for (int n = 0; n < images; n++) total += (double)from[(size_t)n * width * channels];
        totals[i] = total;
    }
    __syncthreads();
    c = first + threadIdx.x;
    if (threadIdx.x >= TOGETHER || c >= channels) return false;
    result[0] = result[1] = 0;
    for (int w = 0; w < width; w++) {
        result[0] += totals[w * TOGETHER + threadIdx.x];
        result[1] += totals[(width + w) * TOGETHER + threadIdx.x];
    }
    return true;
}

// A batch normalisation: its parameters and statistics (run, channel), float32; the numbers that single values need;
// and in float64 (run, which, channel) the inverse deviation and the scale.
struct BatchNorm {
    const float *weight, *bias;
    float *mean, *variance, *numbers;
    double *inverse_and_scale;
    double momentum, epsilon;
    Count height, width, channels;
};

__device__ inline void prepare(const BatchNorm &norm, double mean, double variance, int c)
{
    const size_t at = run() * norm.channels + c;
    const double inverse = 1.0 / sqrt(variance + norm.epsilon);
    const double scale = (norm.weight ? (double)norm.weight[at] : 1.0) * inverse;
    const double bias = norm.bias ? (double)norm.bias[at] : 0.0;
    float *numbers = norm.numbers + run() * NUMBERS * norm.channels + c;
    double *wide = norm.inverse_and_scale + run() * 2 * norm.channels + c;
    numbers[FACTOR * norm.channels] = (float)scale;
    numbers[SHIFT * norm.channels] = (float)(bias - mean * scale);
    numbers[MEAN * norm.channels] = (float)mean;
    wide[0] = inverse;
    wide[norm.channels] = scale;
}

__device__ inline float moved(float running, double momentum, double batch)
{
    return (float)((double)running + momentum * (batch - (double)running));
}

// Make the statistics of a batch from the sums; with `moves` move the running ones.
extern "C" __global__ void statistics(BatchNorm norm, const float *sums, Count images, Count moves)
{
    double sum[2];
    int c;
    if (!channel_sums(sums, images, norm.width, norm.channels, sum, c)) return;
    const size_t at = run() * norm.channels + c;
    const double m = (double)(images * norm.height * norm.width), a = sum[0] / m, found = sum[1] / m - a * a;
    const double mean = (double)norm.mean[at] + a, variance = found < 0.0 ? 0.0 : found;
    prepare(norm, mean, variance, c);
    if (moves) {
        norm.mean[at] = moved(norm.mean[at], norm.momentum, mean);
        norm.variance[at] = moved(norm.variance[at], norm.momentum, variance * m / (m - 1.0));
    }
}

// Make what an evaluation needs from the running statistics. A thread takes a channel.
extern "C" __global__ void running_statistics(BatchNorm norm)
{
    if (thread() >= norm.channels) return;
    const size_t at = run() * norm.channels + thread();
    prepare(norm, (double)norm.mean[at], (double)norm.variance[at], thread());
}

// Make the gradients of weight and bias, (run, channel), and what passes the gradient of a value on.
extern "C" __global__ void gradient_statistics(
    BatchNorm norm, const float *sums, float *weight_gradient, float *bias_gradient, Count images)
{
    double g[2];
    int c;
    if (!channel_sums(sums, images, norm.width, norm.channels, g, c)) return;
    const double m = (double)(images * norm.height * norm.width);
    const double *wide = norm.inverse_and_scale + run() * 2 * norm.channels + c;
    const double inverse = wide[0], scale = wide[norm.channels];
    float *numbers = norm.numbers + run() * NUMBERS * norm.channels + c;
    if (weight_gradient) weight_gradient[run() * norm.channels + c] = (float)(g[1] * inverse);
    if (bias_gradient) bias_gradient[run() * norm.channels + c] = (float)g[0];
    numbers[SLOPE * norm.channels] = (float)(-scale * inverse * inverse * g[1] / m);
    numbers[OFFSET * norm.channels] = (float)(-scale * g[0] / m);
}
