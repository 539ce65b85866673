#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <interplay/base/files.h>

#include "support/error_of.h"
#include "support/failing_calls.h"
#include "support/temp_dir.h"

namespace fs = std::filesystem;

namespace interplay::testing::files_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

/// A process that runs `action` and then sleeps until it is killed.
class Other {
 public:
  explicit Other(const std::function<void()>& action) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    child_ = ::fork();
    if (child_ == 0) {
      ::close(ready[0]);
      action();
      [[maybe_unused]] const auto told = ::write(ready[1], "x", 1);
      for (;;) ::pause();
    }
    ::close(ready[1]);
    char byte;
    EXPECT_EQ(::read(ready[0], &byte, 1), 1);
    ::close(ready[0]);
  }
  ~Other() { end(); }
  void end() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = -1;
  }
  pid_t id() const { return child_; }

 private:
  pid_t child_ = -1;
};

TEST(WriteFile, IsWholeAndLeavesNothingBeside) {
  const TempDir dir;
  const std::string bytes("a\0b\nc", 5);
  write_file(dir / "f", bytes);
  EXPECT_EQ(read_file(dir / "f"), bytes);
  write_file(dir / "f", "");
  EXPECT_EQ(read_file(dir / "f"), "");
  EXPECT_THAT(names_in(dir.path()), ElementsAre("f"));
}

TEST(WriteFile, GoesOnAfterShortAndInterruptedCalls) {
  const TempDir dir;
  const ShortWrites shortened;
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += std::to_string(i);
  write_file(dir / "f", bytes);
  EXPECT_EQ(read_file(dir / "f"), bytes);
  OutputFile out(dir / "g");
  out.write("0123456789");
  out.write_at("abcd", 2);
  out.write("xyz");
  out.sync();
  out.close();
  EXPECT_EQ(read_file(dir / "g"), "01abcd6789xyz");
}

TEST(WriteFile, AnyFailureNamesTheFileAndKeepsTheOldBytes) {
  const TempDir dir;
  const fs::path file = dir / "f";
  expect_every_failure_is_told(
      file, [&] { write_file(file, "old"); }, [&] { write_file(file, "new"); },
      [&](bool failed) {
        const std::string bytes = read_file(file);
        EXPECT_TRUE(failed);
        EXPECT_TRUE(bytes == "old" || bytes == "new") << bytes;  // new: renamed, but the folder could not be synced
        EXPECT_THAT(names_in(dir.path()), ElementsAre("f"));
      });
}

TEST(WriteFile, SaysWhyAndWhatToDo) {
  const TempDir dir;
  const auto with = [&](int error) {
    const FailingCalls failing(2, error);  // the first opens
    return data_error([&] { write_file(dir / "f", "bytes"); });
  };
  EXPECT_EQ(with(ENOSPC),
            (dir / "f").string() + ": cannot be written: No space left on device; make room, or write to another disk");
  EXPECT_THAT(with(EDQUOT), HasSubstr("f: cannot be written: Disk quota exceeded; make room"));
  EXPECT_THAT(with(EFBIG), HasSubstr("f: cannot be written: File too large; see `ulimit -f`"));
  EXPECT_THAT(with(EIO), HasSubstr("f: cannot be written: Input/output error"));
  const FailingCalls failing(3, EIO);
  EXPECT_THAT(data_error([&] { write_file(dir / "f", "bytes"); }),
              HasSubstr("f: cannot be written to the disk: Input"));
}

TEST(WriteFile, NeverReplacesWhatIsNoFile) {
  const TempDir dir;
  fs::create_directory(dir / "d");
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(data_error([&] { write_file(dir / "d", "x"); }), HasSubstr("d: cannot be written: it is a directory"));
  EXPECT_THAT(data_error([&] { write_file(dir / "pipe", "x"); }), HasSubstr("pipe: cannot be written: it is a device"));
  EXPECT_THAT(data_error([&] { write_file("/dev/null", "x"); }), HasSubstr("/dev/null: cannot be written"));
  EXPECT_THAT(data_error([&] { write_file(dir / "none/f", "x"); }),
              HasSubstr("none/f: cannot be written: No such file"));
}

TEST(WriteFile, OfALinkReplacesWhatItLeadsTo) {
  const TempDir dir;
  fs::create_directory(dir / "d");
  dir.write("d/f", "old");
  fs::create_symlink("d/f", dir / "link");
  write_file(dir / "link", "new");
  EXPECT_TRUE(fs::is_symlink(dir / "link"));
  EXPECT_EQ(read_file(dir / "d/f"), "new");
}

TEST(WriteFile, ManyWritersLeaveOneOfTheirs) {
  const TempDir dir;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) write_file(dir / "f", std::string(size_t(1000 + t), char('a' + t)));
    });
  }
  for (auto& thread : threads) thread.join();
  const std::string bytes = read_file(dir / "f");
  EXPECT_EQ(bytes, std::string(size_t(1000 + bytes[0] - 'a'), bytes[0]));
  EXPECT_THAT(names_in(dir.path()), ElementsAre("f"));
}

TEST(OutputFile, AppendsBehindWhatIsThere) {
  const TempDir dir;
  dir.write("f", "ab");
  OutputFile out(dir / "f", OutputFile::Mode::append);
  EXPECT_EQ(out.size(), 2);
  out.write("cd");
  EXPECT_EQ(out.size(), 4);
  out.close();
  EXPECT_EQ(read_file(dir / "f"), "abcd");
  OutputFile(dir / "f").close();
  EXPECT_EQ(read_file(dir / "f"), "");
}

TEST(NewFile, IsGoneWithoutCommit) {
  const TempDir dir;
  dir.write("f", "old");
  {
    NewFile made(dir / "f");
    made.out().write("new");
    EXPECT_EQ(read_file(dir / "f"), "old");
  }
  EXPECT_THAT(names_in(dir.path()), ElementsAre("f"));
  EXPECT_EQ(read_file(dir / "f"), "old");
}

TEST(NewFile, ASecondWriterIsRefusedByName) {
  const TempDir dir;
  const auto other = std::make_unique<Other>([&] { new NewFile(dir / "f"); });
  EXPECT_THAT(config_error([&] { NewFile made(dir / "f"); }),
              AllOf(HasSubstr((dir / "f").string() + ": is being written by another process"),
                    HasSubstr("wait until that has ended")));
  other->end();  // killed: it leaves its file, and no lock
  EXPECT_THAT(names_in(dir.path()), ElementsAre(".f.partial"));
  NewFile made(dir / "f");
  made.out().write("x");
  made.commit();
  EXPECT_THAT(names_in(dir.path()), ElementsAre("f"));
}

TEST(DirectoryLock, IsHeldByOneProcessAndGoesWithIt) {
  const TempDir dir;
  const auto other = std::make_unique<Other>([&] { new DirectoryLock(dir / "run"); });
  const std::string refused = config_error([&] { DirectoryLock lock(dir / "run"); });
  EXPECT_THAT(refused, HasSubstr((dir / "run").string() + ": is being written by another process"));
  std::ifstream locks("/proc/locks");
  const std::string shown((std::istreambuf_iterator<char>(locks)), {});
  if (shown.find(" " + std::to_string(other->id()) + " ") != std::string::npos) {
    EXPECT_THAT(refused, HasSubstr(fmt::format("(process {})", other->id())));
  }
  other->end();
  { const DirectoryLock lock(dir / "run"); }
  EXPECT_THAT(names_in(dir.path() / "run"), ElementsAre()) << "a lock leaves no file";
}

TEST(DirectoryLock, TakesAwayADirectoryThatItMadeAndThatStayedEmpty) {
  const TempDir dir;
  { const DirectoryLock lock(dir / "a/b"); }
  EXPECT_FALSE(fs::exists(dir / "a/b"));
  {
    const DirectoryLock lock(dir / "c");
    dir.write("c/f", "x");
  }
  EXPECT_TRUE(fs::exists(dir / "c/f"));
  fs::create_directory(dir / "d");
  { const DirectoryLock lock(dir / "d"); }
  EXPECT_TRUE(fs::exists(dir / "d")) << "was there before";
}

TEST(DirectoryLock, OfWhatCannotBeOpenedNamesIt) {
  const TempDir dir;
  dir.write("f", "x");
  EXPECT_THAT(data_error([&] { DirectoryLock lock(dir / "f"); }), HasSubstr("f: cannot be written: Not a directory"));
  EXPECT_THAT(data_error([&] { DirectoryLock lock(dir / "f/g"); }), HasSubstr("cannot be made"));
}

TEST(NewDirectory, AppearsWholeAndReplacesInOneStep) {
  const TempDir dir;
  for (const char* bytes : {"one", "two"}) {
    NewDirectory made(dir / "out/");
    fs::create_directories(made.path() / "sub");
    write_file(made.path() / "sub/f", bytes);
    if (bytes == std::string("two")) {
      EXPECT_EQ(read_file(dir / "out/sub/f"), "one");
    }
    made.commit();
    EXPECT_EQ(read_file(dir / "out/sub/f"), bytes);
  }
  EXPECT_THAT(names_in(dir.path()), ElementsAre("out"));
}

TEST(NewDirectory, WhatIsOpenInAReplacedOneStaysReadable) {
  const TempDir dir;
  fs::create_directory(dir / "out");
  dir.write("out/f", "old");
  const MappedFile open(dir / "out/f");
  NewDirectory made(dir / "out");
  write_file(made.path() / "f", "new");
  made.commit();
  EXPECT_EQ(open.bytes(), "old");
  EXPECT_EQ(read_file(dir / "out/f"), "new");
}

TEST(NewDirectory, BeginsEmptyWhereAKilledProcessLeftSomething) {
  const TempDir dir;
  {
    Other killed([&] {
      auto* const made = new NewDirectory(dir / "out");
      write_file(made->path() / "left", "x");
    });
  }
  EXPECT_THAT(names_in(dir.path()), ElementsAre(".out.partial"));
  NewDirectory made(dir / "out");
  write_file(made.path() / "f", "x");
  made.commit();
  EXPECT_THAT(names_in(dir / "out"), ElementsAre("f"));
}

TEST(NewDirectory, ASecondWriterIsRefusedByNameAndHarmsNothing) {
  const TempDir dir;
  NewDirectory made(dir / "out");
  write_file(made.path() / "f", "x");
  EXPECT_THAT(config_error([&] { NewDirectory second(dir / "out"); }),
              HasSubstr((dir / "out").string() + ": is being written by another process"));
  made.commit();
  EXPECT_EQ(read_file(dir / "out/f"), "x");
  const Other run([&] { new DirectoryLock(dir / "out"); });  // and over one that somebody is writing
  NewDirectory third(dir / "out");
  EXPECT_THAT(config_error([&] { third.commit(); }), HasSubstr("out: is being written by another process"));
  EXPECT_EQ(read_file(dir / "out/f"), "x");
}

TEST(NewDirectory, AnyFailureNamesTheFileAndKeepsTheOldDirectory) {
  const TempDir dir;
  const fs::path out = dir / "out";
  const auto make = [&](const std::string& bytes) {
    NewDirectory made(out);
    make_directories(made.path() / "sub");
    write_file(made.path() / "sub/f", bytes);
    OutputFile other(made.path() / "g");
    other.write(bytes);
    other.close();
    made.commit();
  };
  const auto whole = [&] { return read_file(out / "sub/f") + read_file(out / "g"); };
  expect_every_failure_is_told(
      out, [&] { fs::remove_all(out), make("old"); }, [&] { make("new"); },
      [&](bool failed) {
        EXPECT_TRUE(failed);
        EXPECT_TRUE(whole() == "oldold" || whole() == "newnew") << whole();
        EXPECT_THAT(names_in(dir.path()), ElementsAre("out"));
      });
  expect_every_failure_is_told(
      out, [&] { fs::remove_all(out); }, [&] { make("new"); },
      [&](bool failed) {
        EXPECT_TRUE(failed);
        EXPECT_TRUE(!fs::exists(out) || whole() == "newnew");
      });
}

TEST(NewDirectory, IsReplacedInTwoStepsWhereNamesCannotBeExchanged) {
  const TempDir dir;
  const auto real = detail::file_calls();
  detail::file_calls().rename = [](const char* from, const char* to, unsigned flags) {
    errno = EINVAL;
    return flags == 0 ? ::rename(from, to) : -1;
  };
  for (const char* bytes : {"one", "two"}) {
    NewDirectory made(dir / "out");
    write_file(made.path() / "f", bytes);
    made.commit();
  }
  detail::file_calls() = real;
  EXPECT_EQ(read_file(dir / "out/f"), "two");
  EXPECT_THAT(names_in(dir.path()), ElementsAre("out"));
}

TEST(NewDirectory, EverythingInItIsSynced) {
  const TempDir dir;
  static std::vector<std::string> synced;
  synced.clear();
  const auto real = detail::file_calls();
  detail::file_calls().fsync = [](int descriptor) {
    synced.push_back(fs::read_symlink(fmt::format("/proc/self/fd/{}", descriptor)).filename().string());
    return 0;
  };
  {
    NewDirectory made(dir / "out");
    make_directories(made.path() / "vocabulary");
    OutputFile(made.path() / "vocabulary/f").close();
    OutputFile(made.path() / "g").close();
    made.commit();
  }
  detail::file_calls() = real;
  EXPECT_THAT(synced,
              ::testing::UnorderedElementsAre("vocabulary", "f", "g", ".out.partial", dir.path().filename().string()));
}

TEST(ReadFile, NamesWhatIsNotThere) {
  const TempDir dir;
  EXPECT_THAT(data_error([&] { read_file(dir / "f"); }), HasSubstr("f: cannot be read: no such file"));
  EXPECT_THAT(data_error([&] { read_file(dir.path()); }), HasSubstr("not a readable file"));
  EXPECT_THAT(data_error([&] { MappedFile file(dir / "f"); }), HasSubstr("f: cannot be opened: No such file"));
  dir.write("empty", "");
  EXPECT_EQ(MappedFile(dir / "empty").bytes(), "");
}

TEST(Hash, IsXxh3) {
  // Of the reference implementation: XXH3_64bits of nothing, and of "a" (xxhsum -H3).
  EXPECT_EQ(hash64(""), 0x2d06800538d394c2u);
  EXPECT_EQ(hash64("a"), 0xe6c632b61e964e1fu);
  const TempDir dir;
  EXPECT_EQ(hash64_file(dir.write("f", "a")), hash64("a"));
}

TEST(Manifest, FindsEveryAlteredByteAndMissingFile) {
  const TempDir dir;
  fs::create_directory(dir / "sub");
  dir.write("a", "one"), dir.write("sub/b", "two"), dir.write("left out", "three");
  Manifest::describe(dir.path(), {}, [](const std::string& file) { return file != "left out"; }).save(dir.path());
  const Manifest manifest = Manifest::load(dir.path());
  ASSERT_EQ(manifest.entries().size(), 2u);
  EXPECT_EQ(manifest.find("sub/b")->bytes, 3);
  EXPECT_EQ(manifest.find("left out"), nullptr);
  manifest.check(dir.path(), true);
  damage(dir / "sub/b", 1);
  manifest.check(dir.path(), false);
  EXPECT_THAT(data_error([&] { manifest.check(dir.path(), true); }), HasSubstr("sub/b: its checksum differs"));
  dir.write("a", "longer");
  EXPECT_THAT(data_error([&] { manifest.check(dir.path(), false); }),
              HasSubstr("a: 6 bytes, but manifest.json says 3"));
  fs::remove(dir / "a");
  EXPECT_THAT(data_error([&] { manifest.check(dir.path(), false); }), HasSubstr("a: missing"));
  dir.write("manifest.json", "{\"format\": 3, \"files\": []}");
  EXPECT_THAT(data_error([&] { Manifest::load(dir.path()); }), HasSubstr("format 3 is not known"));
  dir.write("manifest.json", "{");
  EXPECT_THAT(data_error([&] { Manifest::load(dir.path()); }), HasSubstr("not a manifest"));
}

TEST(Manifest, KnownFilesKeepTheirBlocks) {
  const TempDir dir;
  dir.write("a", "one");
  Manifest::describe(dir.path(), {{"a", 3, hash64("one"), {1, 2}}}).save(dir.path());
  const Manifest manifest = Manifest::load(dir.path());
  EXPECT_THAT(manifest.find("a")->blocks, ElementsAre(1, 2));
  manifest.check(dir.path(), true);
}

}  // namespace
}  // namespace interplay::testing::files_test
