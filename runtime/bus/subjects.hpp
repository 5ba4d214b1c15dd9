#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace kgents::runtime::bus {

/// Whether it may be published to: tokens divided by single dots, without wildcards, whitespace or
/// control characters, at most 255 bytes.
[[nodiscard]] bool is_subject(std::string_view text) noexcept;

/// Whether the id may be a token of a subject: not empty, without `.`, `*`, `>`, whitespace and
/// control characters.
[[nodiscard]] bool is_token(std::string_view text) noexcept;

/// `kgent.session.<session>.<type>`; nothing when one of the two is no token: it would reach other
/// sessions' viewers.
[[nodiscard]] std::optional<std::string> session_subject(std::string_view session,
                                                         std::string_view type);

/// `agentese.<context>.<holon>.<aspect>`; nothing when that is no subject. `node` is
/// `<context>.<holon>`.
[[nodiscard]] std::optional<std::string> agentese_subject(std::string_view node,
                                                          std::string_view aspect);

}  // namespace kgents::runtime::bus
