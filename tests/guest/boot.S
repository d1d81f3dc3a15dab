/*
 * boot.S - from the boot loader's 32-bit mode to guest_main() in 64-bit mode.
 *
 * The image is a Multiboot kernel: QEMU's -kernel loads it at 1 MiB, with no
 * disk, and hands over a memory map and the command line (-append).
 */
	.set MAGIC, 0x1badb002
	.set FLAGS, 0x00010002		/* memory map; addresses follow */

	.section .head, "awx"
	.code32
	.globl start
	.balign 4
header:	.long MAGIC, FLAGS, -(MAGIC + FLAGS)
	.long header, header, image_end, bss_end, start

start:	cli
	movl	$stack_end, %esp
	/* One GiB one to one, in 2 MiB pages; guest_main() maps the rest. And
	 * once more in the upper half, as kernels do. */
	movl	$pdpt + 3, pml4
	movl	$pdpt + 3, pml4 + 2048
	movl	$pd + 3, pdpt
	movl	$pd, %edi
	movl	$0x83, %eax
1:	movl	%eax, (%edi)
	addl	$0x200000, %eax
	addl	$8, %edi
	cmpl	$pd + 4096, %edi
	jne	1b

	movl	%cr4, %eax
	orl	$0x20, %eax		/* PAE */
	movl	%eax, %cr4
	movl	$pml4, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx	/* EFER: long mode */
	rdmsr
	orl	$0x100, %eax
	wrmsr
	movl	%cr0, %eax
	orl	$0x80000000, %eax	/* paging */
	movl	%eax, %cr0
	lgdt	gdt_ptr
	ljmp	$8, $long_mode

	.code64
long_mode:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movl	%ebx, %edi		/* the boot loader's information */
	xorl	%ebp, %ebp
	call	guest_main

	.globl nmi
nmi:	iretq

	.balign 8
gdt:	.quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdt_ptr: .word . - gdt - 1
	.long gdt

	.bss
	.balign 4096
	.globl pml4, pdpt
pml4:	.skip 4096
pdpt:	.skip 4096 * 8		/* 4 TiB: from a TiB on, QEMU leaves a hole */
pd:	.skip 4096
	.skip 16384
stack_end:
	.section .note.GNU-stack, "", @progbits
