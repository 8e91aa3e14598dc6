"""The command as a whole: help, usage errors, exit codes, standard streams, signals."""

import resource
import signal
import subprocess
import time

import common
from common import COMMANDS, MODEL, VALID, Case, document, run

EVERYTHING = VALID / "everything.ingot"


class Help(Case):
    def test_every_command_explains_itself(self):
        for command in COMMANDS:
            done = self.check(0, command, "--help")
            self.assertIn("Usage", done.out)
            self.assertEqual(done.err, "")

    def test_the_page_of_all(self):
        text = self.check(0, "--help").out
        for word in (*COMMANDS, "Examples:", "Exit codes:", "INGOT_THREADS", "INGOT_TARGET"):
            self.assertIn(word, text)

    def test_version(self):
        self.assertRegex(self.check(0, "--version").out, r"^ingot \d+\.\d+\.\d+\n$")


class Usage(Case):
    def test_wrong_command_lines(self):
        for arguments in ((), ("bogus",), ("inspect",), ("inspect", EVERYTHING, "--bogus"), ("inspect", EVERYTHING, "--bytes", "--json"),
                          ("validate",), ("diff", EVERYTHING), ("export", EVERYTHING), ("presets", "extra"),
                          ("export", EVERYTHING, "x", "--dtype", "f8"), ("export", EVERYTHING, "x", "--format", "zip"),
                          ("validate", EVERYTHING, "--threads", "0"), ("validate", EVERYTHING, "--threads", "x")):
            done = self.check(2, *arguments)
            self.assertEqual(done.out, "", arguments)

    def test_the_environment(self):
        self.check(2, "validate", EVERYTHING, env={"INGOT_THREADS": "many"})
        self.check(2, "presets", env={"INGOT_TARGET": "abacus"})
        for threads in ("1", "2", "7"):
            self.check(0, "validate", EVERYTHING, env={"INGOT_THREADS": threads})
            self.check(0, "validate", EVERYTHING, "--threads", threads)

    def test_a_name_with_control_characters_is_escaped(self):
        done = self.check(4, "inspect", "\x1b[31mred\x07")
        self.assertNotIn("\x1b", done.err)
        self.assertNotIn("\x07", done.err)


class Input(Case):
    def test_a_file_that_is_not_there(self):
        nowhere = self.folder / "nowhere.ingot"
        for arguments in (("inspect", nowhere), ("inspect", nowhere, "--bytes"), ("validate", nowhere), ("validate", EVERYTHING, nowhere),
                          ("export", nowhere, self.folder / "x"), ("diff", nowhere, EVERYTHING), ("diff", EVERYTHING, nowhere)):
            self.check(4, *arguments)

    def test_a_folder_is_no_file(self):
        self.check(4, "inspect", self.folder)
        self.check(4, "validate", self.folder)

    def test_truncated_at_any_place(self):
        data = EVERYTHING.read_bytes()
        cut = self.folder / "cut.ingot"
        for size in (0, 1, 8, 4095, 4096, 8191, 8192, 8193, len(data) // 2, len(data) - 1):
            cut.write_bytes(data[:size])
            self.check(3, "inspect", cut)
            self.check(3, "inspect", cut, "--json")
            self.check(3, "inspect", cut, "--bytes")
            self.check(3, "export", cut, self.folder / "x")
            self.check(3, "diff", cut, EVERYTHING)
            self.check(1, "validate", cut)

    def test_another_kind_of_file_is_named(self):
        other = self.folder / "m.safetensors"
        common.write_safetensors(other, {"w": ("F32", [1], common.floats(1))})
        self.assertIn("safetensors", self.check(3, "inspect", other).err)


class Streams(Case):
    def test_lost_output_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            for arguments in (("inspect", EVERYTHING), ("inspect", EVERYTHING, "--json"), ("presets",), ("--help",)):
                done = subprocess.run([common.INGOT, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE)
                self.assertEqual(done.returncode, 4, done.stderr)

    def test_closed_output_is_a_failure_and_no_file_takes_its_place(self):
        done = subprocess.run(f'"{common.INGOT}" inspect "{EVERYTHING}" >&-', shell=True, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 4, done.stderr)
        target = self.folder / "x.safetensors"
        done = subprocess.run(f'"{common.INGOT}" export "{MODEL}/nothing" "{target}" <&- >&- 2>&-', shell=True)
        self.assertEqual(done.returncode, 4)

    def test_a_reader_that_goes_away(self):
        process = subprocess.Popen([common.INGOT, "inspect", str(VALID / "frames-chunks.ingot"), "--json"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        process.stdout.close()
        self.assertEqual(process.stderr.read()[:7], b"ingot: ")
        process.stderr.close()
        self.assertEqual(process.wait(), 4)

    def test_no_colours_in_a_file(self):
        for arguments in (("inspect", EVERYTHING), ("validate", EVERYTHING), ("diff", VALID / "bits.ingot", VALID / "bits.ingot")):
            done = self.check(0, *arguments)
            self.assertNotIn("\x1b", done.out + done.err)


class Interruption(Case):
    def big(self):
        path = self.folder / "big.safetensors"
        rows = 96 << 20
        with open(path, "wb") as file:
            header = b'{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (rows, rows)
            file.write((len(header)).to_bytes(8, "little") + header)
            file.truncate(8 + len(header) + rows)
        return path

    def test_ctrl_c_leaves_nothing_behind(self):
        source, model = self.big(), self.folder / "big.ingot"
        self.check(0, "convert", source, model, "--preset", "none", "--quiet")
        for number in (signal.SIGINT, signal.SIGTERM):
            seen, delay = [], 0.005
            while 130 not in seen and len(seen) < 200:  # early: before it begins; late: it is done
                target = self.folder / "out.safetensors"
                process = subprocess.Popen([common.INGOT, "export", str(model), str(target), "--force"], stdout=subprocess.DEVNULL,
                                           stderr=subprocess.PIPE)
                time.sleep(delay)
                process.send_signal(number)
                process.communicate()
                seen.append(process.returncode)
                self.assertEqual(self.leftovers(), [])
                self.assertTrue(process.returncode != 130 or not target.exists())
                target.unlink(missing_ok=True)
                delay = delay * 1.2 if process.returncode != 0 else 0.005
            self.assertLessEqual(set(seen), {0, 130, -number})  # before the handler is there, the signal kills
            self.assertIn(130, seen)

    def test_a_full_disk(self):
        target = self.folder / "out.safetensors"

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        done = self.check(4, "export", VALID / "frames-chunks.ingot", target, preexec_fn=limit)
        self.assertIn("cannot write", done.err)
        self.assertEqual(list(self.folder.iterdir()), [])


class Presets(Case):
    def test_json_and_table(self):
        presets = document(self.check(0, "presets", "--json"))["presets"]
        names = [preset["name"] for preset in presets]
        for name in ("none", "int8", "int4-g128", "int3-g128", "int2-g64", "nf4", "fp4", "int8-outliers", "int3-g128-o1"):
            self.assertIn(name, names)
        self.assertEqual(len(names), len(set(names)))
        text = self.check(0, "presets").out
        for preset in presets:
            self.assertTrue(preset["description"])
            self.assertTrue(preset["recipe"]["rules"])
            self.assertIn(preset["name"], text)
        self.assertEqual(run("presets", "--json").err, "")
