// Group normalisation, and layer normalisation of whole images. A block takes an image.
#pragma once

#include "chain.cuh"

// Shared memory: four numbers of each group in float64, then two numbers of each column and channel.
template <int GROUPS, int COLUMNS>
struct OfAnImage {
    static constexpr int groups = GROUPS;
    static __device__ double *mean() { return (double *)room; }
    static __device__ double *inverse() { return mean() + GROUPS; }
    static __device__ double *slope() { return mean() + 2 * GROUPS; }
    static __device__ double *offset() { return mean() + 3 * GROUPS; }
    static __device__ float *columns() { return (float *)(mean() + 4 * GROUPS); }
    static __device__ float *products() { return columns() + COLUMNS; }
};

template <class IN>
__device__ inline float value_at(const typename IN::place &place)
{
    float found[1];
    IN::read(place, found);
    return found[0];
}

// The first step of a sum over an image: for each column and channel a chain over the rows.
template <class IN, class TERM>
__device__ inline void take_columns(const Input &in, int images, float *columns, TERM term)
{
    for (int i = threadIdx.x; i < IN::width * IN::channels; i += blockDim.x) {
        float sum = 0.0f;
        for (int h = 0; h < IN::height; h++)
            sum = term(sum, typename IN::place{in, images, (int)blockIdx.x, h, i / IN::channels, i % IN::channels});
        columns[i] = sum;
    }
    __syncthreads();
}

// The last step: for a channel a chain over its columns, in float64.
template <class IN>
__device__ inline double sum_of_channel(const float *columns, int c)
{
    double sum = 0;
    for (int w = 0; w < IN::width; w++) sum += (double)columns[w * IN::channels + c];
    return sum;
}

// The mean of each group and its inverse deviation.
template <class IN, class OF>
__device__ inline void find_statistics(const Input &in, int images, double epsilon)
{
    constexpr int DEPTH = IN::channels / OF::groups;
    constexpr double M = (double)IN::height * IN::width * DEPTH;
    take_columns<IN>(in, images, OF::columns(), [](float sum, const typename IN::place &place) {
        return sum + value_at<IN>(place);
    });
    for (int g = threadIdx.x; g < OF::groups; g += blockDim.x) {
        double sum = 0;
        for (int c = g * DEPTH; c < (g + 1) * DEPTH; c++) sum += sum_of_channel<IN>(OF::columns(), c);
        OF::mean()[g] = sum / M;
    }
    __syncthreads();
    take_columns<IN>(in, images, OF::columns(), [](float sum, const typename IN::place &place) {
        const float e = value_at<IN>(place) - (float)OF::mean()[place.c / DEPTH];
        return __fmaf_rn(e, e, sum);
    });
    for (int g = threadIdx.x; g < OF::groups; g += blockDim.x) {
        double sum = 0;
        for (int c = g * DEPTH; c < (g + 1) * DEPTH; c++) sum += sum_of_channel<IN>(OF::columns(), c);
        OF::inverse()[g] = 1.0 / sqrt(sum / M + epsilon);
    }
    __syncthreads();
}

// Every value of the image, with its place among the values of a run and in PyTorch's order of an image.
template <class IN, class DO>
__device__ inline void for_each_value(const Input &in, int images, DO act)
{
    constexpr int SIZE = IN::height * IN::width * IN::channels;
    for (int i = threadIdx.x; i < SIZE; i += blockDim.x) {
        const int c = i % IN::channels, w = i / IN::channels % IN::width, h = i / IN::channels / IN::width;
        const typename IN::place place = {in, images, (int)blockIdx.x, h, w, c};
        act(place, (run() * images + blockIdx.x) * SIZE + i, (c * IN::height + h) * IN::width + w);
    }
}

__device__ inline double or_else(const float *values, size_t at, double otherwise)
{
    return values ? (double)values[at] : otherwise;
}

// `weight` and `bias` are (run, channel), or null.
template <class IN, int GROUPS>
__device__ inline void group_norm(
    const Input &in, const float *weight, const float *bias, double epsilon, float *y, int images)
{
    typedef OfAnImage<GROUPS, IN::width * IN::channels> of;
    constexpr int DEPTH = IN::channels / GROUPS;
    find_statistics<IN, of>(in, images, epsilon);
    for_each_value<IN>(in, images, [&](const typename IN::place &place, size_t at, int) {
        const int g = place.c / DEPTH;
        const double scale = or_else(weight, run() * IN::channels + place.c, 1.0) * of::inverse()[g];
        const double shift = or_else(bias, run() * IN::channels + place.c, 0.0) - of::mean()[g] * scale;
        y[at] = __fmaf_rn(value_at<IN>(place), (float)scale, (float)shift);
    });
}

// `dx` is null if nobody wants it. `weights` and `biases` are the parts of each image, float64 (run, image, channel).
template <class IN, int GROUPS>
__device__ inline void group_norm_gradient(
    const Input &in, const float *dy, const float *weight, double epsilon, float *dx, double *weights, double *biases,
    int images)
{
    typedef OfAnImage<GROUPS, IN::width * IN::channels> of;
    constexpr int DEPTH = IN::channels / GROUPS;
    constexpr double M = (double)IN::height * IN::width * DEPTH;
    find_statistics<IN, of>(in, images, epsilon);
    const float *from = dy + (run() * images + blockIdx.x) * IN::height * IN::width * IN::channels;
    auto gradient = [&](const typename IN::place &place) {
        return from[(place.h * IN::width + place.w) * IN::channels + place.c];
    };
    auto distance = [&](const typename IN::place &place) {
        return value_at<IN>(place) - (float)of::mean()[place.c / DEPTH];
    };
    take_columns<IN>(in, images, of::columns(), [&](float sum, const typename IN::place &place) {
        return sum + gradient(place);
    });
    take_columns<IN>(in, images, of::products(), [&](float sum, const typename IN::place &place) {
        return __fmaf_rn(gradient(place), distance(place), sum);
    });
    for (int g = threadIdx.x; g < GROUPS; g += blockDim.x) {
        const double inverse = of::inverse()[g];
        double a = 0, b = 0;
        for (int c = g * DEPTH; c < (g + 1) * DEPTH; c++) {
            const double g1 = sum_of_channel<IN>(of::columns(), c), g2 = sum_of_channel<IN>(of::products(), c);
            const double w = or_else(weight, run() * IN::channels + c, 1.0);
            const size_t at = (run() * images + blockIdx.x) * IN::channels + c;
            a += w * g1;
            b += w * g2;
            if (weights) weights[at] = g2 * inverse;
            if (biases) biases[at] = g1;
        }
        of::slope()[g] = -inverse * inverse * inverse * b / M;
        of::offset()[g] = -inverse * a / M;
    }
    __syncthreads();
    if (!dx) return;
    for_each_value<IN>(in, images, [&](const typename IN::place &place, size_t at, int) {
        const int g = place.c / DEPTH;
        const double scale = or_else(weight, run() * IN::channels + place.c, 1.0) * of::inverse()[g];
        const float rest = __fmaf_rn((float)of::slope()[g], distance(place), (float)of::offset()[g]);
        dx[at] = __fmaf_rn((float)scale, gradient(place), rest);
    });
}

// `weight` and `bias` are (run, value in PyTorch's order), or null.
template <class IN>
__device__ inline void layer_norm(
    const Input &in, const float *weight, const float *bias, double epsilon, float *y, int images)
{
    typedef OfAnImage<1, IN::width * IN::channels> of;
    constexpr int SIZE = IN::height * IN::width * IN::channels;
    find_statistics<IN, of>(in, images, epsilon);
    for_each_value<IN>(in, images, [&](const typename IN::place &place, size_t at, int i) {
        const float e = value_at<IN>(place) - (float)*of::mean();
        const float w = weight ? weight[run() * SIZE + i] : 1.0f, b = bias ? bias[run() * SIZE + i] : 0.0f;
        y[at] = __fmaf_rn(e * (float)*of::inverse(), w, b);
    });
}

// `dx` is null if nobody wants it. `weights` and `biases` are the parts of each image (run, image, value in PyTorch's
// order).
template <class IN>
__device__ inline void layer_norm_gradient(
    const Input &in, const float *dy, const float *weight, double epsilon, float *dx, float *weights, float *biases,
    int images)
{
    typedef OfAnImage<1, IN::width * IN::channels> of;
    constexpr int SIZE = IN::height * IN::width * IN::channels;
    find_statistics<IN, of>(in, images, epsilon);
    const float *from = dy + (run() * images + blockIdx.x) * SIZE;
    auto gradient = [&](const typename IN::place &place) {
        const float g = from[(place.h * IN::width + place.w) * IN::channels + place.c];
        return weight ? g * weight[run() * SIZE + (place.c * IN::height + place.h) * IN::width + place.w] : g;
    };
    auto distance = [&](const typename IN::place &place) { return value_at<IN>(place) - (float)*of::mean(); };
    take_columns<IN>(in, images, of::columns(), [&](float sum, const typename IN::place &place) {
        return sum + gradient(place);
    });
    take_columns<IN>(in, images, of::products(), [&](float sum, const typename IN::place &place) {
        return __fmaf_rn(gradient(place), distance(place), sum);
    });
    if (threadIdx.x == 0) {
        const double inverse = *of::inverse();
        double a = 0, b = 0;
        for (int c = 0; c < IN::channels; c++) {
            a += sum_of_channel<IN>(of::columns(), c);
            b += sum_of_channel<IN>(of::products(), c);
        }
        *of::slope() = -inverse * inverse * inverse * b / (double)SIZE;
        *of::offset() = -inverse * a / (double)SIZE;
    }
    __syncthreads();
    for_each_value<IN>(in, images, [&](const typename IN::place &place, size_t at, int i) {
        const float e = distance(place), inverse = (float)*of::inverse();
        const size_t part = (run() * images + blockIdx.x) * SIZE + i;
        if (weights) weights[part] = dy[at] * (e * inverse);
        if (biases) biases[part] = dy[at];
        if (dx) dx[at] = __fmaf_rn(inverse, gradient(place), __fmaf_rn((float)*of::slope(), e, (float)*of::offset()));
    });
}
