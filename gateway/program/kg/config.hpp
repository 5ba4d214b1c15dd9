#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <variant>

namespace kgents::kg {

/// What `kg login` keeps.
struct stored_login {
  std::string server;
  std::string key;
};

/// $XDG_CONFIG_HOME/kgents/config.json, else ~/.config/…; none: there is no home.
[[nodiscard]] std::optional<std::filesystem::path> config_path();

/// What is stored; nothing when there is no file. A text says why it cannot be read.
[[nodiscard]] std::variant<std::optional<stored_login>, std::string> load_login();

/// Writes the file anew, mode 0600, so that a reader sees the old one or the new one; none: done.
[[nodiscard]] std::optional<std::string> save_login(const stored_login& x);

/// None: it is gone, or was not there.
[[nodiscard]] std::optional<std::string> forget_login();

}  // namespace kgents::kg
