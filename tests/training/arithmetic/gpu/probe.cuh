// Lets a test see the exponential and the logarithm of loss.cuh in float64.
extern "C" __global__ void probe(const float *z, const double *t, double *exponentials, double *logarithms, int count)
{
    if (thread() >= count) return;
    exponentials[thread()] = exponential(z[thread()]);
    logarithms[thread()] = logarithm(t[thread()]);
}
