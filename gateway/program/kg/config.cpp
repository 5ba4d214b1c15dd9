#include "gateway/program/kg/config.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace kgents::kg {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

std::string because(const fs::path& where) { return where.string() + ": " + std::strerror(errno); }

std::string member(const json::object& x, std::string_view name) {
  const auto* value = x.if_contains(name);
  return value != nullptr && value->is_string() ? std::string{value->get_string()} : std::string{};
}

/// Closes what it was given.
bool write_and_close(int fd, std::string_view text) {
  bool good = true;
  while (good && !text.empty()) {
    const auto count = ::write(fd, text.data(), text.size());
    if (count > 0)
      text.remove_prefix(static_cast<size_t>(count));
    else
      good = errno == EINTR;
  }
  good = good && ::fsync(fd) == 0;
  const int wrong = errno;
  ::close(fd);
  errno = wrong;
  return good;
}

}  // namespace

std::optional<fs::path> config_path() {
  if (const char* xdg = std::getenv("XDG_CONFIG_HOME"); xdg != nullptr && *xdg == '/')
    return fs::path{xdg} / "kgents" / "config.json";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return fs::path{home} / ".config" / "kgents" / "config.json";
  return std::nullopt;
}

std::variant<std::optional<stored_login>, std::string> load_login() {
  using nothing = std::optional<stored_login>;
  const auto where = config_path();
  if (!where)
    return nothing{};
  std::ifstream file{*where};
  if (!file)
    return errno == ENOENT || errno == ENOTDIR
               ? std::variant<nothing, std::string>{nothing{}}
               : std::variant<nothing, std::string>{because(*where)};
  std::ostringstream text;
  text << file.rdbuf();
  json::error_code error;
  const auto value = json::parse(text.str(), error);
  if (error || !value.is_object())
    return where->string() + " is no JSON object; kg login writes it anew";
  return nothing{
      stored_login{member(value.get_object(), "server"), member(value.get_object(), "key")}};
}

std::optional<std::string> save_login(const stored_login& x) {
  const auto where = config_path();
  if (!where)
    return "neither XDG_CONFIG_HOME nor HOME says where to keep the login";
  std::error_code ec;
  fs::create_directories(where->parent_path().parent_path(), ec);
  if (::mkdir(where->parent_path().c_str(), 0700) != 0 && errno != EEXIST)
    return because(where->parent_path());
  auto fresh = *where;
  fresh += "." + std::to_string(::getpid());
  ::unlink(fresh.c_str());
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0)
    return because(fresh);
  const auto text = json::serialize(json::object{{"server", x.server}, {"key", x.key}}) + "\n";
  if (!write_and_close(fd, text) || ::rename(fresh.c_str(), where->c_str()) != 0) {
    auto why = because(*where);
    ::unlink(fresh.c_str());
    return why;
  }
  return std::nullopt;
}

std::optional<std::string> forget_login() {
  const auto where = config_path();
  if (where && ::unlink(where->c_str()) != 0 && errno != ENOENT && errno != ENOTDIR)
    return because(*where);
  return std::nullopt;
}

}  // namespace kgents::kg
