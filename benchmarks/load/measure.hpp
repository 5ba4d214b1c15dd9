// measure.hpp - what the benchmark tools count with: a latency histogram, the CPU time of watched
// processes, and the command line.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

// Log-linear histogram of nanoseconds: 64 steps an octave, so a reported value is at most 1.6 %
// low.
class histogram {
public:
  void add(std::uint64_t ns);
  [[nodiscard]] std::uint64_t count() const { return count_; }
  // In microseconds; 0 when empty. `share` in 0..1.
  [[nodiscard]] double quantile_us(double share) const;
  [[nodiscard]] double max_us() const { return static_cast<double>(max_) / 1e3; }
  // {"count":…,"p50_us":…,"p99_us":…,"p999_us":…,"max_us":…}
  [[nodiscard]] std::string json() const;

private:
  std::array<std::uint64_t, 64 * 48> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

// CPU seconds (user + system) of named processes, read from /proc/PID/stat.
class cpu_watch {
public:
  // "name=PID" watches one process, "name=PID+" that process and all its descendants.
  void watch(std::string_view spec);
  // Starts the measured window (again).
  void start();
  // {"seconds":…,"name":cpu seconds,…} since start().
  [[nodiscard]] std::string json() const;

private:
  struct entry {
    std::string name;
    int pid;
    bool with_descendants;
    double at_start;
  };
  std::vector<entry> entries_;
  std::uint64_t started_ns_ = 0;
};

// `--name value` pairs; a name may be given several times; a name at the end or before another
// `--name` is a switch. A name outside `known` ends the program.
class options {
public:
  options(int argc, char** argv, std::string_view known);
  [[nodiscard]] bool has(const std::string& name) const { return values_.count(name) != 0; }
  [[nodiscard]] std::string text(const std::string& name, std::string_view fallback = "") const;
  [[nodiscard]] double number(const std::string& name, double fallback) const;
  [[nodiscard]] const std::vector<std::string>& all(const std::string& name) const;

private:
  std::map<std::string, std::vector<std::string>> values_;
};

}  // namespace bench
