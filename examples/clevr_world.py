"""The CLEVR world without files: a scene, its image, a question as a program, and the answer."""

import numpy as np

from clevr.questions import execute, parse
from clevr.world.placement import SceneConfig, Scenes
from clevr.world.render import object_ids, render


def main() -> None:
    """Generate a scene, render it, answer a question about it."""
    scenes = Scenes(seed=3, split="example", rules=SceneConfig(condition="A")).batch(range(1))
    scene = scenes[0]
    for body in scene.objects:
        print(body.size, body.color, body.material, body.shape)

    image = render(scenes, 160, 120)[0]
    visible = np.bincount(object_ids(scenes, 160, 120)[0].numpy().ravel() + 1)[1:]
    print("image", tuple(image.shape), "; pixels of each object:", visible.tolist())

    program = parse("How many metal things are there?")[0].program()
    print("functions:", [node.function for node in program], "; answer:", execute(program, scene))


if __name__ == "__main__":
    main()
