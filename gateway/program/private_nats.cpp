#include "gateway/program/private_nats.hpp"

#include <signal.h>
#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "gateway/program/interrupts.hpp"

namespace kgents::gateway {

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto start_deadline = 30s;
constexpr auto poll_interval = 10ms;

fs::path find_program() {
  const char* path = std::getenv("PATH");
  // Debian puts it where the PATH of ordinary users does not look.
  std::istringstream folders{std::string{path == nullptr ? "" : path} +
                             ":/usr/sbin:/usr/local/sbin:/usr/local/bin"};
  for (std::string folder; std::getline(folders, folder, ':');)
    if (auto program = fs::path{folder} / "nats-server";
        folder.starts_with('/') && ::access(program.c_str(), X_OK) == 0)
      return program;
  throw cannot_start{exit_unavailable,
                     "nats-server is not installed; install the package nats-server"};
}

std::string random_token() {
  std::array<unsigned char, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    throw cannot_start{exit_internal, "the kernel gives no random bytes"};
  constexpr char hex[] = "0123456789abcdef";
  std::string token =
      "t";  // a token that begins with a letter needs no quotes in nats-server's configuration
  for (const auto byte : bytes) {
    token += hex[byte >> 4];
    token += hex[byte & 15];
  }
  return token;
}

/// As a double-quoted string of nats-server's configuration.
std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += '\\';
    out += c;
  }
  return out + '"';
}

/// The port in the file that nats-server writes once it listens: {"nats":["nats://127.0.0.1:PORT"],
/// …}.
std::optional<std::string> port_in(const fs::path& file) {
  std::ifstream in{file};
  const std::string text{std::istreambuf_iterator<char>{in}, {}};
  boost::system::error_code error;
  const auto parsed = boost::json::parse(text, error);
  if (error || !parsed.is_object())
    return std::nullopt;
  const auto* urls = parsed.as_object().if_contains("nats");
  if (urls == nullptr || !urls->is_array() || urls->as_array().empty() ||
      !urls->as_array()[0].is_string())
    return std::nullopt;
  const std::string url{urls->as_array()[0].as_string()};
  return url.substr(url.rfind(':') + 1);
}

}  // namespace

private_nats::private_nats(const state_dir& where)
    : log_{where.path() / "nats.log"},
      data_{where.path() / "nats", where.child_identity()},
      who_{where.child_identity()} {
  rotate(log_);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator{data_.path(), ignored})
    if (entry.path().extension() == ".ports")
      fs::remove(entry.path(), ignored);
  const auto token = random_token();
  write_configuration(token);
  process_.emplace(child::start(
      {.program = find_program(),
       .args = {"-c", data_.as_child() + "/nats.conf"},
       .log = log_,
       .death_signal = SIGTERM,
       .run_as = who_,
       .keep_fds = data_.walkable() ? std::vector<int>{} : std::vector{data_.descriptor()}}));
  await_port(token);
}

private_nats::~private_nats() { stop(); }

void private_nats::write_configuration(const std::string& token) {
  const auto path = data_.path() / "nats.conf";
  std::error_code error;
  fs::remove(path, error);
  std::ofstream out{path};
  // The file must not be readable by others for a moment either.
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write, error);
  out << "listen: \"127.0.0.1:-1\"\n"
      << "server_name: kgents-dev\n"
      << "ports_file_dir: " << in_quotes(data_.as_child()) << '\n'
      << "jetstream { store_dir: " << in_quotes(data_.as_child())
      << ", max_memory_store: 64MB, max_file_store: 1GB }\n"
      << "authorization { token: " << token << " }\n";
  out.close();
  if (!out || (who_ && ::chown(path.c_str(), who_->uid, who_->gid) != 0))
    throw cannot_start{exit_unavailable, "cannot write " + path.string()};
}

void private_nats::await_port(const std::string& token) {
  const auto file = data_.path() / ("nats-server_" + std::to_string(process_->pid()) + ".ports");
  const auto deadline = std::chrono::steady_clock::now() + start_deadline;
  for (;;) {
    if (const auto port = port_in(file)) {
      url_ = "nats://" + token + "@127.0.0.1:" + *port;
      return;
    }
    interrupts::check();
    if (process_->ended_within(poll_interval))
      throw cannot_start{exit_unavailable, "nats-server did not start: " + tail_of(log_)};
    if (std::chrono::steady_clock::now() > deadline)
      throw cannot_start{exit_unavailable, "nats-server does not listen; see " + log_.string()};
  }
}

void private_nats::stop() {
  if (process_)
    process_->stop({SIGTERM}, 5s);
  process_.reset();
}

}  // namespace kgents::gateway
