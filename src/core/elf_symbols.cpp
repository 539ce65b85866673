#include "core/elf_symbols.h"

#include <elf.h>

#include <cstring>
#include <string_view>

#include <interplay/base/error.h>
#include <interplay/base/files.h>

namespace interplay::detail {
namespace {

#if defined(__x86_64__)
constexpr auto kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr auto kMachine = EM_AARCH64;
#else
#error "which ELF machine is this?"
#endif

class ElfFile {
 public:
  explicit ElfFile(const std::filesystem::path& file) : mapped_(file), bytes_(mapped_.bytes()) {
    const bool elf = bytes_.size() >= sizeof(Elf64_Ehdr) && bytes_.starts_with(std::string_view(ELFMAG, SELFMAG));
    INTERPLAY_CHECK(elf, "plugin {}: not a shared library (it does not begin as an ELF file does)", name());
    header_ = at<Elf64_Ehdr>(0, 0);
    INTERPLAY_CHECK(
        header_.e_ident[EI_CLASS] == ELFCLASS64 && header_.e_ident[EI_DATA] == ELFDATA2LSB &&
            header_.e_machine == kMachine && header_.e_type == ET_DYN,
        "plugin {}: not a shared library for this kind of machine (ELF type {}, machine {}; expected {}, {})", name(),
        header_.e_type, header_.e_machine, int(ET_DYN), int(kMachine));
    check_whole();
  }

  std::vector<std::string> undefined() const {
    const auto symbols = dynamic_symbols();
    const std::string_view names = contents(section(symbols.sh_link));
    std::vector<std::string> found;
    for (uint64_t i = 0; i < symbols.sh_size / sizeof(Elf64_Sym); ++i) {
      const auto symbol = at<Elf64_Sym>(symbols.sh_offset, i);
      if (symbol.st_shndx != SHN_UNDEF || symbol.st_name == 0) continue;
      check(symbol.st_name < names.size());
      const std::string_view rest = names.substr(symbol.st_name);
      const auto end = rest.find('\0');
      check(end != rest.npos);
      found.emplace_back(rest.substr(0, end));
    }
    return found;
  }

 private:
  std::string name() const { return mapped_.path().string(); }

  void check(bool whole) const {
    INTERPLAY_CHECK(whole, "plugin {}: the file is damaged or cut short at {} bytes; build or copy it again", name(),
                    bytes_.size());
  }

  // The section headers come last in a file, so that their end tells a whole one; a segment that is not all there would
  // let the system's loader map memory behind which there is no file.
  void check_whole() const {
    const uint64_t size = bytes_.size();
    check(header_.e_shoff <= size && header_.e_shnum * sizeof(Elf64_Shdr) <= size - header_.e_shoff);
    check(header_.e_phentsize == sizeof(Elf64_Phdr));
    for (uint64_t i = 0; i < header_.e_phnum; ++i) {
      const auto segment = at<Elf64_Phdr>(header_.e_phoff, i);
      if (segment.p_type != PT_LOAD) continue;
      check(segment.p_offset <= size && segment.p_filesz <= size - segment.p_offset);
    }
  }

  // The index-th T of an array that begins at `offset`; copied, since nothing in a file is aligned for sure.
  template <class T>
  T at(uint64_t offset, uint64_t index) const {
    const uint64_t size = bytes_.size();
    check(offset <= size && index < (size - offset) / sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + offset + index * sizeof(T), sizeof(T));
    return value;
  }

  Elf64_Shdr section(uint64_t index) const {
    check(index < header_.e_shnum && header_.e_shentsize == sizeof(Elf64_Shdr));
    return at<Elf64_Shdr>(header_.e_shoff, index);
  }

  std::string_view contents(const Elf64_Shdr& section) const {
    check(section.sh_offset <= bytes_.size() && section.sh_size <= bytes_.size() - section.sh_offset);
    return bytes_.substr(section.sh_offset, section.sh_size);
  }

  Elf64_Shdr dynamic_symbols() const {
    for (uint64_t i = 0; i < header_.e_shnum; ++i) {
      const auto candidate = section(i);
      if (candidate.sh_type == SHT_DYNSYM) return candidate;
    }
    throw Error(fmt::format("plugin {}: it has no dynamic symbols, so it cannot be a plugin", name()));
  }

  MappedFile mapped_;
  std::string_view bytes_;
  Elf64_Ehdr header_;
};

}  // namespace

std::vector<std::string> undefined_symbols(const std::filesystem::path& file) { return ElfFile(file).undefined(); }

}  // namespace interplay::detail
