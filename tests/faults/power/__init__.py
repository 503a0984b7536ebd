"""Power loss: what was acknowledged is there when the machine starts again, and it is whole.

A trial runs the real program with its data, registry and cache on an ext4 file system of its own,
on a loop device over an image file. At the moment of the answer (the command ended with 0, the
client's call returned) the image is copied, and the copy is mounted in place of the original, by
which ext4 replays its journal. What is there then is judged by the real program.

Why that is a power cut. A file system keeps what was written in memory until somebody forces it
out (fsync) or the kernel finds the time. The image file has what the file system has sent to its
device, and nothing of what is only in memory: that is the disk at this moment. A copy is one
moment: all processes of the trial are stopped (SIGSTOP) before it, and a device that wrote
anything meanwhile, by its own counters, is copied again. Freezing the file system would not do,
as that forces everything out.

Why nothing survives by luck. Left alone, the kernel writes back after 5 to 30 seconds, and ext4
commits its journal every 5: programs that force nothing would often get away. Here write-back is
put off from the beginning of a trial to its cut (vm.dirty_*, for the whole machine, so restored at
once), and the disk is mounted with commit=600.
Every other trial a neighbour on the same file system calls fsync just before the cut. That is what
else goes wrong on ext4: it commits all names made so far, of files whose contents are still in
memory. These have 0 bytes afterwards. Programs must survive both.

Why a trial can be believed. Each begins with two witnesses: a file that is forced to the disk with
its folder, and one that is not. In the copy the first must be whole, and the contents of the second
must be lost. If they are not, something else forced them out (another program's sync, full memory),
the trial is done again, and after some tries the harness says that it cannot judge, which is no
pass. The same holds where there are no loop devices, or no rights to mount.

Why the program sees another start of the machine. It trusts what it wrote since the last one, by
the kernel's boot id and boot time. Commands on the copy see others, in mount namespaces of their
own. No process of the trial lives on, what it left in the background neither.

What this does not show: writes that a disk reorders in its own cache or tears within a sector, and
file systems other than ext4.
"""
