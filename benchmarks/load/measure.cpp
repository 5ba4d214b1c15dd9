#include "load/measure.hpp"

#include <dirent.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>

#include "load/net.hpp"

namespace bench {

namespace {

constexpr std::uint64_t steps = 64;

std::size_t bucket_of(std::uint64_t ns) {
  if (ns < steps)
    return static_cast<std::size_t>(ns);
  const auto octave = static_cast<std::uint64_t>(std::bit_width(ns)) - 7;  // 64..127 is octave 0
  return static_cast<std::size_t>(steps + octave * steps + ((ns >> octave) - steps));
}

std::uint64_t value_of(std::size_t bucket) {
  if (bucket < steps)
    return bucket;
  const auto octave = bucket / steps - 1;
  return (steps + bucket % steps) << octave;
}

struct process_stat {
  int parent = 0;
  double cpu_seconds = 0;
};

bool read_stat(int pid, process_stat& result) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(in, line))
    return false;
  // The name in parentheses may hold anything, so fields are counted after the last one.
  std::istringstream fields(line.substr(line.rfind(')') + 2));
  std::string skipped;
  fields >> skipped >> result.parent;
  for (int i = 0; i < 9; ++i)
    fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  result.cpu_seconds = (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return true;
}

double cpu_seconds(int pid, bool with_descendants) {
  process_stat own;
  if (!read_stat(pid, own))
    return 0;
  if (!with_descendants)
    return own.cpu_seconds;
  std::map<int, process_stat> all;
  if (DIR* proc = opendir("/proc")) {
    while (const dirent* item = readdir(proc))
      if (const int id = std::atoi(item->d_name); id > 0)
        if (process_stat stat; read_stat(id, stat))
          all[id] = stat;
    closedir(proc);
  }
  std::set<int> family{pid};
  for (bool grew = true; grew;) {
    grew = false;
    for (const auto& [id, stat] : all)
      grew |= family.count(stat.parent) != 0 && family.insert(id).second;
  }
  double sum = 0;
  for (const int id : family)
    sum += all[id].cpu_seconds;
  return sum;
}

}  // namespace

void histogram::add(std::uint64_t ns) {
  const auto bucket = bucket_of(ns);
  ++buckets_[bucket < buckets_.size() ? bucket : buckets_.size() - 1];
  ++count_;
  if (ns > max_)
    max_ = ns;
}

double histogram::quantile_us(double share) const {
  const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(count_));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    seen += buckets_[i];
    if (seen > wanted)
      return static_cast<double>(value_of(i)) / 1e3;
  }
  return max_us();
}

std::string histogram::json() const {
  char text[200];
  std::snprintf(text, sizeof text,
                R"({"count":%llu,"p50_us":%.1f,"p99_us":%.1f,"p999_us":%.1f,"max_us":%.1f})",
                static_cast<unsigned long long>(count_), quantile_us(0.5), quantile_us(0.99),
                quantile_us(0.999), max_us());
  return text;
}

void cpu_watch::watch(std::string_view spec) {
  const auto equals = spec.find('=');
  if (equals == std::string_view::npos) {
    errno = 0;
    die("not NAME=PID: " + std::string(spec));
  }
  const bool tree = spec.ends_with('+');
  entries_.push_back({std::string(spec.substr(0, equals)),
                      std::atoi(std::string(spec.substr(equals + 1)).c_str()), tree, 0});
}

void cpu_watch::start() {
  for (auto& entry : entries_)
    entry.at_start = cpu_seconds(entry.pid, entry.with_descendants);
  started_ns_ = now_ns();
}

std::string cpu_watch::json() const {
  char text[64];
  std::snprintf(text, sizeof text, "{\"seconds\":%.4f",
                static_cast<double>(now_ns() - started_ns_) / 1e9);
  std::string result = text;
  for (const auto& entry : entries_) {
    std::snprintf(text, sizeof text, "\":%.4f",
                  cpu_seconds(entry.pid, entry.with_descendants) - entry.at_start);
    result += ",\"" + entry.name + text;
  }
  return result + "}";
}

options::options(int argc, char** argv, std::string_view known) {
  std::istringstream names{std::string(known)};
  std::set<std::string> allowed;
  for (std::string name; names >> name;)
    allowed.insert(name);
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const std::string name(word.substr(word.starts_with("--") ? 2 : 0));
    if (!word.starts_with("--") || !allowed.count(name)) {
      errno = 0;
      die("unknown option " + std::string(word) + "; known: " + std::string(known));
    }
    const bool has_value = i + 1 < argc && std::string_view(argv[i + 1]).substr(0, 2) != "--";
    values_[name].push_back(has_value ? argv[++i] : "");
  }
}

std::string options::text(const std::string& name, std::string_view fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string(fallback) : found->second.back();
}

double options::number(const std::string& name, double fallback) const {
  return has(name) ? std::strtod(text(name).c_str(), nullptr) : fallback;
}

const std::vector<std::string>& options::all(const std::string& name) const {
  static const std::vector<std::string> none;
  const auto found = values_.find(name);
  return found == values_.end() ? none : found->second;
}

}  // namespace bench
